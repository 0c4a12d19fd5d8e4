-- A page of what must be kept: {cursor, the orders of open jobs, pictures}. A scan has all that is there from first to last;
-- what follows another needs nothing of its own.
local cursor, scanned = unpack(redis.call('ZSCAN', key('jobs'), ask.cursor, 'COUNT', ask.page))
local orders, kept = {}, {}
for n = 1, #scanned, 2 do
  local job = key('job', id_of(scanned[n]))
  local parts, status, order = get(job, '.parts', '.status', 'order')
  if not follows(scanned[n]) then
    if OPEN[status] then orders[#orders + 1] = order end
    for _, part in ipairs(cjson.decode(parts)) do
      local pictures = redis.call('HGET', key('attempt', part), 'pictures')
      if pictures ~= '[]' then kept[#kept + 1] = pictures end
    end
  end
end
return {cursor, orders, kept}
