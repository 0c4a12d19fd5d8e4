-- The newest job of the same key and body with a lower count, not yet adopted by this one.
local mark = '.adopted:' .. ask.retry_count
local found
for _, place in ipairs(redis.call('ZREVRANGEBYSCORE', key(ask.index), '+inf', ask.since)) do
  local id = id_of(place)
  local count, token = get(key('job', id), 'retry_count', mark)
  if token == ask.token then return whole(id) end -- by this very call, whose answer was lost
  if not found and not token and tonumber(count) < ask.retry_count then found = id end
end
if not found then return nil end
redis.call('HSET', key('job', found), mark, ask.token)
return whole(found)
