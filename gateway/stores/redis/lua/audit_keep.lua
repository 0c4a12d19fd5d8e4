-- Keep the sums of a page, unless somebody else did meanwhile.
local generation, summed = get(key('audit'), 'generation', 'summed')
if (generation or '0') ~= ask.generation or (summed or '0') ~= ask.summed then return 0 end
for _, sum in ipairs(ask.sums) do
  redis.call('ZADD', key('scopes'), 0, sum[1])
  redis.call('HINCRBY', key('audit:scope', sum[1]), sum[2], sum[3])
end
for _, hold in ipairs(ask.opened) do redis.call('HSET', key('audit:open'), hold[1], hold[2]) end
for _, attempt in ipairs(ask.ended) do redis.call('HDEL', key('audit:open'), attempt) end
redis.call('HSET', key('audit'), 'summed', ask.upto)
return 1
