local deleted = 0
for _, each in ipairs(ask.entries) do deleted = deleted + leave(each[1], each[2]) end
return deleted
