-- Delete a follower, and the entry that it came by.
leave(ask.entry, ask.leader)
if redis.call('EXISTS', key('job', ask.job)) == 0 then return end
if ask.images > 0 then save(ask.day, spared(ask.job), -ask.images) end
erase(ask.job)
