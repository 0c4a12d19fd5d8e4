-- A page of the ledger's settle and adjust rows since a moment.
local rows = {}
for _, seq in ipairs(redis.call('ZRANGEBYSCORE', key('ledger:spent'), ask.since, '+inf', 'LIMIT', ask.skip, ask.page)) do
  rows[#rows + 1] = redis.call('XRANGE', key('ledger'), seq .. '-0', seq .. '-0')[1]
end
return rows
