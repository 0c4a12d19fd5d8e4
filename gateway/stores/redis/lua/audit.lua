-- What is not summed yet, at most a page of it, with what the holds that it ends are worth; the scope that follows, and
-- both sums of it: {generation, summed, rows, worth, scope, counters, audited}.
local generation, summed = get(key('audit'), 'generation', 'summed')
generation, summed = generation or '0', summed or '0'
local rows, worth = redis.call('XRANGE', key('ledger'), '(' .. summed .. '-0', '+', 'COUNT', ask.page), {}
for n, row in ipairs(rows) do
  worth[n] = redis.call('HGET', key('audit:open'), row[2][2]) or ''
end
local scope = redis.call('ZRANGEBYLEX', key('scopes'), ask.after == '' and '-' or '(' .. ask.after, '+', 'LIMIT', 0, 1)[1]
if not scope then return {generation, summed, rows, worth} end
return {generation, summed, rows, worth, scope, redis.call('HGETALL', key('usage', scope)),
  redis.call('HGETALL', key('audit:scope', scope))}
