-- Of a page of the ledger's settle and adjust rows since a moment what is to be summed, as one JSON text:
-- [[number, what it is summed by, images, amount], ...]. No amount is computed here.
local rows = {}
for n, seq in ipairs(redis.call('ZRANGEBYSCORE', key('ledger:spent'), ask.since, '+inf', 'LIMIT', ask.skip, ask.page)) do
  local found = redis.call('XRANGE', key('ledger'), seq .. '-0', seq .. '-0')[1]
  if not found then error('row ' .. seq .. ' of the ledger is gone: no sum would be right') end
  local row, flat = {}, found[2]
  for at = 1, #flat, 2 do row[flat[at]] = flat[at + 1] end
  rows[n] = '[' .. table.concat({seq, row[ask.by], row.images, row.amount}, ',') .. ']'
end
return '[' .. table.concat(rows, ',') .. ']'
