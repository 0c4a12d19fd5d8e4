-- Replace the budgets of a scope.
redis.call('DEL', key('budgets', ask.scope))
if #ask.budgets == 0 then
  redis.call('ZREM', key('budgets'), ask.scope)
else
  redis.call('HSET', key('budgets', ask.scope), unpack(ask.budgets))
  redis.call('ZADD', key('budgets'), 0, ask.scope)
end
