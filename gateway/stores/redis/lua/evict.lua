-- Delete jobs with pictures, of a page of those that were last used before a moment, until these are so many bytes:
-- {whether there are more, how many stay, how many bytes}.
local places = redis.call('ZRANGEBYSCORE', key('used:made'), '-inf', '(' .. ask.before, 'LIMIT', ask.skip, ask.page)
local stay, freed, deleted = 0, 0, 0
for _, place in ipairs(places) do
  if freed >= ask.size then return {0, stay, freed} end
  if deleted >= ask.page then return {1, stay, freed} end
  local id = id_of(place)
  local images, size = pictured(id)
  if images > 0 and idle(id) then
    local count, gone = remove(id, ask.page - deleted)
    if not gone then return {1, stay, freed} end
    freed, deleted = freed + size, deleted + count
  else
    stay = stay + 1
  end
end
return {#places == ask.page and 1 or 0, stay, freed}
