-- Wherever a rotation has put it.
local row = key('key', ask.id)
for _, field in ipairs({'digest', 'old_digest'}) do
  if redis.call('HGET', row, field) == ask.stored then redis.call('HSET', row, field, ask.digest) end
end
