-- With its team, where that is new: 0 when the id is taken.
if not add(key('key', ask.id), ask.token, ask.fields) then return 0 end
redis.call('ZADD', key('keys'), ask.created_at, ask.id)
redis.call('ZADD', key('keys:team', ask.team), ask.created_at, ask.id)
if add(key('team', ask.team), ask.token, ask.team_fields) then
  redis.call('ZADD', key('teams'), 0, ask.team)
end
return 1
