-- A page of entries: {entry, job, hits, team, model, created_at, used_at, images, bytes} each.
local found = {}
for n, entry in ipairs(redis.call('ZRANGEBYLEX', key('cached'), ask.after, '+', 'LIMIT', 0, ask.page)) do
  local id, hits = get(key('cached', entry), 'job', 'hits')
  local team, model, created_at, place, status = get(key('job', id), 'team', '.model', 'created_at', '.place', '.status')
  local images, size = 0, 0
  if not OPEN[status] then images, size = pictured(id) end
  found[n] = {entry, id, hits, team, model, created_at, redis.call('ZSCORE', used(place), place),
    tostring(images), string.format('%.0f', size)}
end
return found
