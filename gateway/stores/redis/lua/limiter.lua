-- Count a request in each of these limits, or in none: {now in µs, and for each what was kept of its scope}.
local now = clock[1] * 1000000 + clock[2]
local answer, tills, full = {string.format('%.0f', now)}, {}, false
for n, limit in ipairs(ask.limits) do
  local till = redis.call('GET', key('request_rate', limit.scope)) or '0'
  answer[n + 1] = till
  tills[n] = gcra(limit.most, till, now, 1)
  full = full or not tills[n]
end
if full then return answer end
for n, limit in ipairs(ask.limits) do
  redis.call('SET', key('request_rate', limit.scope), tills[n], 'PX', 120000)
end
return answer
