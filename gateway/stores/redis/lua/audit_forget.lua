-- Sum the ledger from its first row again.
for _, scope in ipairs(redis.call('ZRANGE', key('scopes'), 0, -1)) do
  redis.call('UNLINK', key('audit:scope', scope))
end
redis.call('UNLINK', key('audit:open'))
redis.call('HINCRBY', key('audit'), 'generation', 1)
redis.call('HSET', key('audit'), 'summed', '0')
