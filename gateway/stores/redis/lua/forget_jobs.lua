-- Delete a page of the jobs that were last used before a moment: {whether there are more, how many stay, how many are gone}.
local places = redis.call('ZRANGEBYSCORE', key(ask.index), '-inf', '(' .. ask.before, 'LIMIT', ask.skip, ask.page)
local stay, deleted = 0, 0
for _, place in ipairs(places) do
  if redis.call('EXISTS', key('job', id_of(place))) == 0 then
    redis.call('ZREM', key(ask.index), place) -- an older gateway, which knows of no such index, has deleted it
  elseif idle(id_of(place)) then
    local count, gone = remove(id_of(place), ask.page - deleted)
    deleted = deleted + count
    if not gone or deleted >= ask.page then return {1, stay, deleted} end
  else
    stay = stay + 1
  end
end
return {#places == ask.page and 1 or 0, stay, deleted}
