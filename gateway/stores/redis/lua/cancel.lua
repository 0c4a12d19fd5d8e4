-- Release every attempt, if all of them are still reserved and its own.
local job = key('job', ask.job)
local parts, leader, detached, token = get(job, '.parts', '.leader', 'detached', '.cancelled_by')
if not parts or leader then return 0 end
if token == ask.ending.token then return 1 end
if ask.unless == 'promised' and detached == 'true' then return 0 end
if ask.unless == 'followed' and redis.call('EXISTS', key('followers', ask.job)) == 1 then return 0 end
parts = cjson.decode(parts)
for _, part in ipairs(parts) do
  if redis.call('HGET', key('attempt', part), 'state') ~= '"reserved"' then return 0 end
end
if #parts == 0 then return 0 end
redis.call('HSET', job, 'cancelled', 'true', '.cancelled_by', ask.ending.token)
for _, part in ipairs(parts) do
  finish(part, ask.ending)
end
return 1
