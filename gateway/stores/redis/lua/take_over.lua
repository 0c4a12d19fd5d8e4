-- Give this replica those of the jobs that are open and whose maker is dead; and those that it was given by a call whose
-- answer was lost, so that it does not know of them. Who takes over is alive.
redis.call('SET', key('replica', ask.replica), '', 'PX', ask.lease)
local lost, taken = {}, {}
for _, token in ipairs(ask.lost) do lost[token] = true end
for _, id in ipairs(ask.jobs) do
  local job = key('job', id)
  local maker, status, token = get(job, 'maker', '.status', '.given_by')
  local open = status == 'queued' or status == 'processing'
  local free = maker and redis.call('EXISTS', key('replica', maker)) == 0
  if open and (free or maker == ask.replica and lost[token]) then
    redis.call('HSET', job, 'maker', ask.replica, '.given_by', ask.token)
    taken[#taken + 1] = whole(id)
  end
end
return taken
