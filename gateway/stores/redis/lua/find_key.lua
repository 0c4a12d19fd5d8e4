-- The key and its team, each as one JSON text.
local found = members(key('key', ask.id))
local team = found and redis.call('HGET', key('key', ask.id), '.team')
local of_team = team and members(key('team', team))
return of_team and {found .. '}', of_team .. '}'}
