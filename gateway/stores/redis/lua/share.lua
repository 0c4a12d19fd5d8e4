-- Journal the job as following the one of an equal order; a repeat of the call is given what its first try has journalled.
if redis.call('EXISTS', key('job', ask.job)) == 1 then
  return redis.call('HEXISTS', key('job', ask.job), '.leader') == 1 and whole(ask.job) or nil
end
local earlier = ask.idempotent and repeated(ask.idempotent, ask.body_hash, ask.idempotent_since)
if earlier then return earlier end
local leader, made = equal(ask.entry, ask.since)
if not leader or (ask.only_made and not made) then return nil end
return follow(leader, made)
