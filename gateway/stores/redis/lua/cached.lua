-- A page of entries: {the last one, or '' where there are no more, entry, entry, ...}, each {entry, job, hits, team, model,
-- created_at, used_at, images, bytes}. One whose job an older gateway has deleted names nothing, and goes.
local page = redis.call('ZRANGEBYLEX', key('cached'), ask.after, '+', 'LIMIT', 0, ask.page)
local found = {#page == ask.page and page[#page] or ''}
for _, entry in ipairs(page) do
  local id, hits = get(key('cached', entry), 'job', 'hits')
  local team, model, created_at, place, status = get(key('job', id), 'team', '.model', 'created_at', '.place', '.status')
  if place then
    local images, size = 0, 0
    if not OPEN[status] then images, size = pictured(id) end
    found[#found + 1] = {entry, id, hits, team, model, created_at, redis.call('ZSCORE', used(place), place),
      tostring(images), string.format('%.0f', size)}
  else
    leave(entry, id)
  end
end
return found
