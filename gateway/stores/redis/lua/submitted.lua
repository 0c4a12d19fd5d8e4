-- Also of an unconfirmed attempt without an id: its maker had been taken for dead, and knows better.
local attempt = key('attempt', ask.attempt)
local state, job_id, upstream_id, since, images = get(attempt, 'state', '.job', 'upstream_id', 'submitted_at', 'images')
if state ~= '"submitting"' and not (state == '"unconfirmed"' and upstream_id == 'null') then return end
redis.call('HSET', attempt, 'state', '"submitted"', 'upstream_id', ask.upstream_id, 'ended_at', 'null', 'failure', 'null')
if state == '"unconfirmed"' then
  redis.call('ZREM', key('attempts:unconfirmed'), ask.attempt)
  fly(cjson.decode(redis.call('HGET', key('job', job_id), '.payers')), images)
end
redis.call('ZADD', key('attempts:submitted'), since, ask.attempt)
restate(job_id)
