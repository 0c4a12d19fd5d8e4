-- Jobs of an index, newest first, after one of them: {the id to go on after, or '', job, job, ...}. So many are looked at
-- in one go, so that nobody waits long for a list that few jobs belong in.
local LOOKS, PAGE = 400, 100
local index, first, created_at, place = key(ask.index), 0, nil, nil
if ask.after then
  created_at, place = get(key('job', ask.after), 'created_at', '.place')
  if not place then return {''} end
  local rank = redis.call('ZREVRANK', index, place) -- none: it has changed its status, or never was of this one
  first = rank and rank + 1 or redis.call('ZCOUNT', index, '(' .. created_at, '+inf')
end
local found = {''}
for from = first, first + LOOKS - PAGE, PAGE do
  local places = redis.call('ZREVRANGE', index, from, from + PAGE - 1, 'WITHSCORES')
  for n = 1, #places, 2 do
    if not place or tonumber(places[n + 1]) < tonumber(created_at) or places[n] < place then
      local id = id_of(places[n])
      found[1] = id
      if not ask.team or redis.call('HGET', key('job', id), 'team') == ask.team then
        found[#found + 1] = whole(id)
      end
      if #found > ask.limit then return found end
    end
  end
  if #places < 2 * PAGE then
    found[1] = ''
    return found
  end
end
return found
