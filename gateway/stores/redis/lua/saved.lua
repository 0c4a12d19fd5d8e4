-- {day, {what, images, what, images ...}} each.
local days = {}
for n, day in ipairs(redis.call('ZRANGEBYLEX', key('saved'), '[' .. ask.since, '+')) do
  days[n] = {day, redis.call('HGETALL', key('saved', day))}
end
return days
