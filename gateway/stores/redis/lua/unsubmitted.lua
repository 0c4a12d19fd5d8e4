-- The upstream provably took nothing of the submit of that moment. Who took the job over may hold it for unconfirmed.
local attempt = key('attempt', ask.attempt)
local state, job_id, since, upstream_id = get(attempt, 'state', '.job', 'submitted_at', 'upstream_id')
if state == '"reserved"' then return 1 end -- by this very call, whose answer was lost
if since ~= ask.submitted_at then return 0 end
if state == '"unconfirmed"' and upstream_id == 'null' then finish(ask.attempt, ask.ending) end
if state ~= '"submitting"' then return 0 end
redis.call('HSET', attempt, 'state', '"reserved"', 'submitted_at', 'null')
redis.call('ZREM', key('attempts:submitted'), ask.attempt)
restate(job_id)
return 1
