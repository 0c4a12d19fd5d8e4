-- This replica's polls, for the length of a lease; the others'.
local owed = key('allowance', ask.provider) .. ':owed'
local leases = owed .. ':until'
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now)) do
  redis.call('ZREM', leases, gone)
  redis.call('HDEL', owed, gone)
end
redis.call('HSET', owed, ask.replica, ask.polls)
redis.call('ZADD', leases, now + ask.lease, ask.replica)
local others = 0
for _, polls in ipairs(redis.call('HVALS', owed)) do
  others = others + tonumber(polls)
end
return others - ask.polls
