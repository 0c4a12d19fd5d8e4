-- 1 when it was made.
if not add(key('team', ask.name), ask.token, ask.fields) then return 0 end
redis.call('ZADD', key('teams'), 0, ask.name)
return 1
