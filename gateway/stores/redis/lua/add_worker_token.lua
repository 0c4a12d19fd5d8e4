-- 0 when the id is taken.
if not add(key('worker_token', ask.id), ask.token, ask.fields) then return 0 end
redis.call('ZADD', key('worker_tokens'), ask.created_at, ask.id)
return 1
