-- Jobs of a gateway that noted no uses were used when they were made; a page of all there are: whether there is more to do.
local known = redis.call('ZCARD', key('used:made')) + redis.call('ZCARD', key('used:following'))
if known >= redis.call('ZCARD', key('jobs')) then return 0 end
local places = redis.call('ZRANGE', key('jobs'), ask.skip, ask.skip + ask.page - 1, 'WITHSCORES')
for n = 1, #places, 2 do redis.call('ZADD', used(places[n]), 'NX', places[n + 1], places[n]) end
return #places == 2 * ask.page and 1 or 0
