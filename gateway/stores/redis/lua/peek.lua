local leader = equal(ask.entry, ask.since)
return leader and whole(leader)
