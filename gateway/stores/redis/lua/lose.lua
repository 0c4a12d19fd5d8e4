-- Delete a job that has ended, those that follow it and the entry that names it; what still holds money stays. 1: there is
-- more to do, many follow it.
if ask.entry then leave(ask.entry, ask.job) end
local status = redis.call('HGET', key('job', ask.job), '.status')
if OPEN[status] then return 0 end -- it was unconfirmed, and is being made after all
if status and idle(ask.job) then
  local _, gone = remove(ask.job, ask.page)
  return gone and 0 or 1
end
return remove_followers(ask.job, ask.page) == ask.page and 1 or 0
