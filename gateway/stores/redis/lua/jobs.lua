-- Jobs by their ids; those that are not there are left out.
local found = {}
for _, id in ipairs(ask.jobs) do
  found[#found + 1] = whole(id)
end
return found
