-- Whether this replica sweeps: it does so already, or nobody does, such as after one that died and let its lease end.
local lease = key('sweeping')
local holder = redis.call('GET', lease)
if holder and holder ~= ask.replica then return 0 end
redis.call('SET', lease, ask.replica, 'PX', ask.lease)
return 1
