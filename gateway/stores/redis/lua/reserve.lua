-- Hold money and journal the job; a refusal writes nothing, and nor does who only weighs it. {'job', ...}: one that is there
-- in its place, or itself, which follows another. {'budget', scope, window, limit, spent, held}: it refuses. {'limits', ...}:
-- what was kept of each limit's scope, by which they admit or refuse.
if not ask.weighing then
  if redis.call('EXISTS', key('job', ask.job)) == 1 then
    -- by this very call, whose answer was lost: it was journalled as what it is
    return redis.call('HEXISTS', key('job', ask.job), '.leader') == 1 and {'job', whole(ask.job)} or nil
  end
  local earlier = ask.idempotent and repeated(ask.idempotent, ask.body_hash, ask.idempotent_since)
  if earlier then return {'job', earlier} end
  if ask.entry and ask.since then
    local leader, made = equal(ask.entry, ask.since)
    if leader then return {'job', follow(leader, made)} end
  end
end

-- The first budget without room; one that is spent goes before one that is only held. There is always room for nothing.
local reserved
for _, payer in ipairs(ask.asked ~= '0' and ask.payers or {}) do
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
if ask.weighing or not admitted then return kept end
for scope, till in pairs(tills) do redis.call('HSET', key('image_rates'), scope, till) end

local answers = ask.entry and not ask.bypass and not equal(ask.entry, ask.since or 0)
journal(' ', ask.status, ask.fields)
redis.call('HSET', key('job', ask.job), unpack(ask.made))
for _, attempt in ipairs(ask.attempts) do
  redis.call('HSET', key('attempt', attempt.id), '.hold_row', append(attempt.ledger), unpack(attempt.fields))
end
fly(ask.payers, ask.images)
count(ask.payers, ask.windows, '0', ask.asked)
if answers then enter(ask.entry, ask.job) end
return kept
