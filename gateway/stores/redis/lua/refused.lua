-- An attempt was refused, and its retry is expected. More than so many are not waited for: each is looked at by its retry.
local refusals, MOST, LATER = key('refusals', ask.key, ask.body_hash), 100, 60000
redis.call('ZADD', refusals, ask.now, table.concat({ask.till, ask.retry_count, ask.token}, ' '))
redis.call('ZREMRANGEBYRANK', refusals, 0, -MOST - 1)
local stays = ask.wait + LATER -- by this server's clock, which is not the caller's
if redis.call('PTTL', refusals) < stays then redis.call('PEXPIRE', refusals, stays) end
