-- 1 when the key is there, and has been given this digest by this call or by its first try.
local row = key('key', ask.id)
local digest, token = get(row, 'digest', '.rotated_by')
if not digest then return 0 end
if token == ask.token then return 1 end
redis.call('HSET', row, 'old_digest', digest, 'old_until', ask.old_until, 'digest', ask.digest, '.rotated_by', ask.token)
return 1
