-- The attempt is to be made at another leg. Where it has moved there already, by this very call whose answer was lost, nothing
-- is done: whoever took the job over may have submitted it since.
local attempt = key('attempt', ask.attempt)
local state, job_id, provider, passed = get(attempt, 'state', '.job', 'provider', 'passed')
if not state then return 0 end
if provider == ask.provider and passed == ask.passed then return state == '"reserved"' and 1 or 0 end
local job = key('job', job_id)
local cancelled, maker, entry = get(job, 'cancelled', 'maker', '.entry')
if not LIVE[state] or cancelled == 'true' or ask.maker and ask.maker ~= maker then return 0 end
redis.call('HSET', attempt, 'state', '"reserved"', 'provider', ask.provider, 'price', ask.price, 'passed', ask.passed,
  'upstream_id', 'null', 'submitted_at', 'null')
redis.call('ZREM', key('attempts:submitted'), ask.attempt)
if entry then
  leave(entry, job_id)
  redis.call('HDEL', job, '.entry')
  redis.call('HSET', job, 'entry', 'null')
end
restate(job_id)
return 1
