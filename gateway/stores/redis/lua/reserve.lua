-- Hold money and journal the job; a refusal writes nothing. {'budget', scope, window, limit, spent, held}: it refuses.
-- {'limits', ...}: what was kept of each limit's scope, by which they admit or refuse.
local job = key('job', ask.job)
if redis.call('EXISTS', job) == 1 then return nil end

-- The first budget without room; one that is spent goes before one that is only held.
local reserved
for _, payer in ipairs(ask.payers) do
  local limits = redis.call('HMGET', key('budgets', payer), unpack(ask.kinds))
  local figures
  for n, limit in ipairs(limits) do
    if limit then
      figures = figures or redis.call('HMGET', key('usage', payer), unpack(ask.figures))
      local spent, held = figures[2 * n - 1] or '0', figures[2 * n] or '0'
      local refusal = {'budget', payer, n, limit, spent, held}
      if tonumber(spent) + tonumber(ask.asked) > tonumber(limit) then return refusal end
      if tonumber(spent) + tonumber(held) + tonumber(ask.asked) > tonumber(limit) then reserved = reserved or refusal end
    end
  end
end
if reserved then return reserved end

local admitted, kept, tills = true, {'limits'}, {}
for n, limit in ipairs(ask.limits) do
  if limit.kind == 'images_per_minute' then
    kept[n + 1] = redis.call('HGET', key('image_rates'), limit.scope) or '0'
    tills[limit.scope] = gcra(limit.most, kept[n + 1], ask.at * 1000, ask.images)
    if not tills[limit.scope] then admitted = false end
  else
    kept[n + 1] = redis.call('HGET', key('flying'), limit.scope) or '0'
    if kept[n + 1] + ask.images > limit.most then admitted = false end
  end
end
if not admitted then return kept end
for scope, till in pairs(tills) do redis.call('HSET', key('image_rates'), scope, till) end

local place = string.format('%016d ', redis.call('INCR', key('jobs:seq'))) .. ask.job
redis.call('HSET', job, '.place', place, unpack(ask.fields))
redis.call('ZADD', key('jobs:status', ask.status), ask.created_at, place)
for _, index in ipairs(ask.indexes) do
  redis.call('ZADD', key(index), ask.created_at, place)
end
for _, attempt in ipairs(ask.attempts) do
  redis.call('HSET', key('attempt', attempt.id), unpack(attempt.fields))
  append(attempt.ledger)
end
fly(ask.payers, ask.images)
count(ask.payers, ask.windows, '0', ask.asked)
return kept
