-- Change fields of a row, but not where `unless` is set already: 1 when the row is there.
local row = key(ask.row)
if redis.call('EXISTS', row) == 0 then return 0 end
if #ask.fields > 0 and not (ask.unless and redis.call('HGET', row, ask.unless) ~= 'null') then
  redis.call('HSET', row, unpack(ask.fields))
end
return 1
