-- The key and its team.
local row = redis.call('HGETALL', key('key', ask.id))
local team = redis.call('HGET', key('key', ask.id), '.team')
return {row, team and redis.call('HGETALL', key('team', team)) or {}}
