-- Note that a job was asked for, and with it the one that it follows: that is never noted as used earlier.
local place, leader, created_at = get(key('job', ask.job), '.place', '.leader', 'created_at')
if not place then return end
if tonumber(redis.call('ZSCORE', used(place), place) or created_at) > ask.now - ask.every then return end
redis.call('ZADD', used(place), ask.now, place)
if not leader then return end
place = redis.call('HGET', key('job', leader), '.place')
if place then redis.call('ZADD', used(place), 'GT', ask.now, place) end
