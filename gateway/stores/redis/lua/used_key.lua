local row = key('key', ask.id)
local last = redis.call('HGET', row, 'last_used_at')
if last and (tonumber(last) or 0) < tonumber(ask.now) then redis.call('HSET', row, 'last_used_at', ask.now) end
