-- A page of what pieces in the queue have become or are becoming: {cursor, pictures, partials}.
local cursor, scanned = unpack(redis.call('ZSCAN', key('queue:pictured'), ask.cursor, 'COUNT', ask.page))
local pictures, partials = {}, {}
for n = 1, #scanned, 2 do
  local made, on_the_way = get(key('queue:piece', scanned[n]), 'pictures', 'partials')
  if made then
    pictures[#pictures + 1] = made
    partials[#partials + 1] = on_the_way
  end
end
return {cursor, pictures, partials}
