-- Release every attempt, if all of them are its own, and still reserved or where they can be recalled from.
local job = key('job', ask.job)
local parts, leader, detached, token = get(job, '.parts', '.leader', 'detached', '.cancelled_by')
if not parts or leader then return 0 end
if token == ask.ending.token then return 1 end
if ask.unless == 'promised' and detached == 'true' then return 0 end
if ask.unless == 'followed' and redis.call('EXISTS', key('followers', ask.job)) == 1 then return 0 end
parts = cjson.decode(parts)
local recalled = {}
for _, provider in ipairs(ask.recalled) do recalled[provider] = true end
for _, part in ipairs(parts) do
  local state, provider = get(key('attempt', part), 'state', 'provider')
  if state ~= '"reserved"' then
    if state ~= '"submitting"' and state ~= '"submitted"' then return 0 end
    if not recalled[provider] then return 0 end
  end
end
if #parts == 0 then return 0 end
redis.call('HSET', job, 'cancelled', 'true', '.cancelled_by', ask.ending.token)
for _, part in ipairs(parts) do
  finish(part, ask.ending)
end
return 1
