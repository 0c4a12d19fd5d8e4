-- The hold stays open.
local attempt = key('attempt', ask.attempt)
local state, job_id, since, images = get(attempt, 'state', '.job', 'submitted_at', 'images')
if state ~= '"submitting"' and state ~= '"submitted"' then return end
redis.call('HSET', attempt, 'state', '"unconfirmed"', 'failure', ask.failure, 'ended_at', ask.now)
redis.call('ZREM', key('attempts:submitted'), ask.attempt)
redis.call('ZADD', key('attempts:unconfirmed'), since, ask.attempt)
fly(cjson.decode(redis.call('HGET', key('job', job_id), '.payers')), '-' .. images)
restate(job_id)
