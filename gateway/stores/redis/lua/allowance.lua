-- A sliding log of the account's requests, in µs of this server's clock: {µs to wait for so many, how many are left}. With
-- `take`, one is spent if there is no wait.
local log = key('allowance', ask.provider)
local now = clock[1] * 1000000 + clock[2]
redis.call('ZREMRANGEBYSCORE', log, '-inf', now - ask.window)
-- nothing is spent ahead of time: what seems so was logged before the clock was set back, and would hold up paid jobs
redis.call('ZREMRANGEBYSCORE', log, string.format('(%.0f', now + ask.window), '+inf')
local spent = redis.call('ZCARD', log)
local blocked = math.max(0, (tonumber(redis.call('GET', log .. ':until')) or 0) - now)
local minutes, more = math.floor((ask.count - 1) / ask.limit), (ask.count - 1) % ask.limit
local must_go, freed = spent + more + 1 - ask.limit, 0
if must_go > 0 then
  freed = redis.call('ZRANGE', log, must_go - 1, must_go - 1, 'WITHSCORES')[2] + ask.window - now
end
local wait = math.max(blocked, freed) + minutes * ask.window
if ask.take and wait == 0 then
  redis.call('ZADD', log, now, ask.token)
  redis.call('PEXPIRE', log, math.ceil(ask.window / 1000))
end
return {string.format('%.0f', wait), blocked > 0 and 0 or math.max(0, ask.limit - spent)}
