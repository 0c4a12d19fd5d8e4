-- The hold stays open. Not under another upstream id than the caller knows of.
local attempt = key('attempt', ask.attempt)
local state, job_id, since, images, upstream_id = get(attempt, 'state', '.job', 'submitted_at', 'images', 'upstream_id')
if upstream_id ~= ask.upstream_id then return 0 end
if state == '"unconfirmed"' then return 1 end -- by this very call, whose answer was lost, or to the same end
if state ~= '"submitting"' and state ~= '"submitted"' then return 0 end
redis.call('HSET', attempt, 'state', '"unconfirmed"', 'failure', ask.failure, 'ended_at', ask.now)
redis.call('ZREM', key('attempts:submitted'), ask.attempt)
redis.call('ZADD', key('attempts:unconfirmed'), since, ask.attempt)
fly(cjson.decode(redis.call('HGET', key('job', job_id), '.payers')), '-' .. images)
restate(job_id)
return 1
