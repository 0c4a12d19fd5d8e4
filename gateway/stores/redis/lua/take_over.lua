-- Give this replica those of the jobs that are open and whose maker is dead; and those that it was given by a call whose
-- answer was lost, so that it does not know of them. Who takes over is alive.
redis.call('SET', key('replica', ask.replica), '', 'PX', ask.lease)
local lost, unheard, taken = {[ask.token] = true}, {}, {}
for _, token in ipairs(ask.unheard) do lost[token], unheard[token] = true, true end

for _, id in ipairs(ask.jobs) do
  local job = key('job', id)
  local maker, status, token, found = get(job, 'maker', '.status', '.given_by', '.found')
  local free = maker and redis.call('EXISTS', key('replica', maker)) == 0
  if OPEN[status] and (free or maker == ask.replica and lost[token]) then
    -- whoever asked for a job whose reserve went unheard was told 503, and not its id; a retry that found it may have been,
    -- and whoever follows it waits for it
    if unheard[token] then
      local followed = redis.call('EXISTS', key('followers', id)) == 1
      if followed then redis.call('HSET', job, 'detached', 'true') end
      if not followed and not found then redis.call('HSET', job, 'detached', 'false') end
    end
    redis.call('HSET', job, 'maker', ask.replica, '.given_by', ask.token)
    taken[#taken + 1] = whole(id)
  end
end
return taken
