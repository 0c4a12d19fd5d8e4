-- The newest job of the same key and body with a lower count, not yet adopted by this one; where an attempt was refused and
-- waited for its retry, only a job that is newer.
local mark, KEPT = '.adopted:' .. ask.retry_count, 60000
local refusals = key('refusals', ask.key, ask.body_hash)
local taken = key('refusals', ask.token)
local refused_at, refusal = redis.call('GET', taken), nil -- taken by this very call, whose answer was lost
local refused = refused_at and {} or redis.call('ZREVRANGE', refusals, 0, -1, 'WITHSCORES')
for n = 1, #refused, 2 do
  local till, count = string.match(refused[n], '^(%d+) (%d+) ')
  if not refusal and tonumber(count) < ask.retry_count and tonumber(till) >= ask.now then
    refusal, refused_at = refused[n], refused[n + 1]
  end
end
local since = math.max(ask.since, refused_at and refused_at + 1 or 0)

local found
for _, place in ipairs(redis.call('ZREVRANGEBYSCORE', key(ask.index), '+inf', string.format('%.0f', since))) do
  local id = id_of(place)
  local count, token = get(key('job', id), 'retry_count', mark)
  if token == ask.token then return whole(id) end -- by this very call
  if not found and not token and tonumber(count) < ask.retry_count then found = id end
end
if refusal then
  redis.call('ZREM', refusals, refusal)
  redis.call('SET', taken, refused_at, 'PX', KEPT)
end
if not found then return nil end
redis.call('HSET', key('job', found), mark, ask.token, '.found', '1')
return whole(found)
