-- Correct what was spent; where a counter would fall below 0, the most that could be taken off is told instead.
if redis.call('SISMEMBER', key('ledger:adjusted'), ask.id) == 1 then return nil end
local least
for _, payer in ipairs(ask.payers) do
  for _, window in ipairs(ask.windows) do
    local spent = redis.call('HGET', key('usage', payer), window .. '/spent') or '0'
    if not least or tonumber(spent) < tonumber(least) then least = spent end
  end
end
if tonumber(least) + tonumber(ask.amount) < 0 then return least end
redis.call('SADD', key('ledger:adjusted'), ask.id)
redis.call('ZADD', key('ledger:spent'), ask.at, append(ask.ledger))
count(ask.payers, ask.windows, ask.amount, '0')
return nil
