-- A repeat of the very same call (its maker and its moment tell), whose answer was lost, is told the same once more: its
-- maker has not submitted yet. From whoever else it comes, the attempt is out of their hands.
local attempt = key('attempt', ask.attempt)
local state, job_id, since = get(attempt, 'state', '.job', 'submitted_at')
if not state or redis.call('HGET', key('job', job_id), 'maker') ~= ask.maker then return 0 end
if state == '"submitting"' then return since == ask.now and 1 or 0 end
if state ~= '"reserved"' then return 0 end
redis.call('HSET', attempt, 'state', '"submitting"', 'submitted_at', ask.now)
redis.call('ZADD', key('attempts:submitted'), ask.now, ask.attempt)
restate(job_id)
return 1
