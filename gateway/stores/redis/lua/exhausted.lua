-- Nothing is left for so many µs.
local block = key('allowance', ask.provider) .. ':until'
local now = clock[1] * 1000000 + clock[2]
local till = math.max(now + ask.duration, tonumber(redis.call('GET', block)) or 0)
redis.call('SET', block, string.format('%.0f', till), 'PX', math.ceil((till - now) / 1000) + 1)
