-- The newest job of the same key and body with a lower count, not yet adopted by this one; where an attempt was refused and
-- waited for its retry, only a job that is newer.
local mark, PAGE, KEPT = '.adopted:' .. ask.retry_count, 500, 60000
local given = key('adopted', ask.token) -- by this very call, whose answer was lost
local before = redis.call('GET', given)
if before then return whole(before) end
local refusals = key('refusals', ask.key, ask.body_hash)
local taken = key('refusals', ask.token) -- taken by this very call, whose answer was lost
local refused_at, refusal = redis.call('GET', taken), nil
local refused = refused_at and {} or redis.call('ZREVRANGE', refusals, 0, -1, 'WITHSCORES')
for n = 1, #refused, 2 do
  local till, count = string.match(refused[n], '^(%d+) (%d+) ')
  if not refusal and tonumber(count) < ask.retry_count and tonumber(till) >= ask.now then
    refusal, refused_at = refused[n], refused[n + 1]
  end
end
local since = string.format('%.0f', math.max(ask.since, refused_at and refused_at + 1 or 0))

-- Places that no retry of this count need look at again, so that a crowd of them does not read each job once for each of
-- them. Where it has expired, the jobs themselves tell.
local passed = key('passed', ask.key, ask.body_hash, ask.retry_count)

-- Of places that are the newest by their makers' clocks, the one that came last and may be given.
local function last(places)
  local unknown = {}
  for n, is_known in ipairs(redis.call('SMISMEMBER', passed, unpack(places))) do
    if is_known == 0 then unknown[#unknown + 1] = places[n] end
  end
  table.sort(unknown, function(one, other) return one > other end)
  for _, place in ipairs(unknown) do
    local count, token = get(key('job', id_of(place)), 'retry_count', mark)
    if count and not token and tonumber(count) < ask.retry_count then return place end
    redis.call('SADD', passed, place)
  end
end

local found
for skip = 0, ask.most - 1, PAGE do
  local places = redis.call('ZREVRANGEBYSCORE', key(ask.index), '+inf', since, 'LIMIT', skip, math.min(PAGE, ask.most - skip))
  found = #places > 0 and last(places)
  if found or #places < PAGE then break end
end
if refusal then
  redis.call('ZREM', refusals, refusal)
  redis.call('SET', taken, refused_at, 'PX', KEPT)
end
if found then redis.call('SADD', passed, found) end
redis.call('PEXPIRE', passed, KEPT)
if not found then return nil end
redis.call('HSET', key('job', id_of(found)), mark, ask.token, '.found', '1')
redis.call('SET', given, id_of(found), 'PX', KEPT)
return whole(id_of(found))
