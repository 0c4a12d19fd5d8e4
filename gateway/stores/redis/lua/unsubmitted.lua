-- The upstream provably took nothing.
local attempt = key('attempt', ask.attempt)
local state, job_id = get(attempt, 'state', '.job')
if state ~= '"submitting"' then return end
redis.call('HSET', attempt, 'state', '"reserved"', 'submitted_at', 'null')
redis.call('ZREM', key('attempts:submitted'), ask.attempt)
restate(job_id)
