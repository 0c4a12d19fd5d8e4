-- The ledger's rows of these attempts, of those that know theirs.
local rows = {}
for _, attempt_id in ipairs(ask.attempts) do
  for _, seq in ipairs({get(key('attempt', attempt_id), '.hold_row', '.end_row')}) do
    if seq then rows[#rows + 1] = redis.call('XRANGE', key('ledger'), seq .. '-0', seq .. '-0')[1] end
  end
end
return rows
