-- Settle an attempt. The job with that, and how the budgets of its payers stand; nil when it had ended before, or where rows of
-- the job are gone: what is written by now stays written, so nothing may fail here.
if not finish(ask.attempt, ask.ending) then return nil end
local job_id = redis.call('HGET', key('attempt', ask.attempt), '.job')
local job = whole(job_id)
return job and {job, standing(cjson.decode(redis.call('HGET', key('job', job_id), '.payers')))}
