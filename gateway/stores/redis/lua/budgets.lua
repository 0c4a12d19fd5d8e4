-- The budgets of these scopes, each with the window's number and what the counters say: {scope, n, limit, spent, held}.
local states = {}
for _, scope in ipairs(ask.scopes) do
  for n, limit in ipairs(redis.call('HMGET', key('budgets', scope), unpack(ask.kinds))) do
    if limit then
      local window = ask.windows[n]
      local spent, held = get(key('usage', scope), window .. '/spent', window .. '/held')
      states[#states + 1] = {scope, n, limit, spent or '0', held or '0'}
    end
  end
end
return states
