-- The job with that, and how the budgets of its payers stand; nil when it had ended before.
if not finish(ask.attempt, ask.ending) then return nil end
local job_id = redis.call('HGET', key('attempt', ask.attempt), '.job')
return {whole(job_id), standing(cjson.decode(redis.call('HGET', key('job', job_id), '.payers')))}
