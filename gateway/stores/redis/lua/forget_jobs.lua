-- Delete a page of ended jobs; one with an unconfirmed attempt still holds money and stays: {how many were looked at, deleted}.
local status = key('jobs:status', ask.status)
local places = redis.call('ZRANGEBYSCORE', status, '-inf', '(' .. ask.before, 'LIMIT', ask.skip, ask.page)
local deleted = 0
for _, place in ipairs(places) do
  local id = id_of(place)
  local parts, indexes = get(key('job', id), '.parts', '.indexes')
  local stays, rows = false, {key('job', id)}
  for _, part in ipairs(cjson.decode(parts)) do
    stays = stays or redis.call('HGET', key('attempt', part), 'state') == '"unconfirmed"'
    rows[#rows + 1] = key('attempt', part)
  end
  if not stays then
    redis.call('DEL', unpack(rows))
    redis.call('ZREM', status, place)
    for _, index in ipairs(cjson.decode(indexes)) do redis.call('ZREM', key(index), place) end
    deleted = deleted + 1
  end
end
return {#places, deleted}
