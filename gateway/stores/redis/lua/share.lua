-- Journal the job as following the one of an equal order, and tell how the budgets of its payers stand; a repeat of the call is
-- given what its first try has journalled.
local function share()
  if redis.call('EXISTS', key('job', ask.job)) == 1 then
    return redis.call('HEXISTS', key('job', ask.job), '.leader') == 1 and whole(ask.job)
  end
  local earlier = ask.idempotent and repeated(ask.idempotent, ask.body_hash, ask.idempotent_since)
  if earlier then return earlier end
  local leader, made = equal(ask.entry, ask.since)
  return leader and (made or not ask.only_made) and follow(leader, made)
end

local job = share()
return job and {job, standing(ask.scopes)}
