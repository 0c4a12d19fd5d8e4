-- What every script begins with. KEYS[1]: what all keys begin with. ARGV[1]: the moment (ms, this server's clock) after
-- which the caller has given up; nothing may happen then, since the caller may have done otherwise meanwhile. ARGV[2]: what
-- is asked. Rows are hashes of JSON values; fields that begin with a dot are the store's own, and plain text.
-- Amounts come and go as strings, and are changed by HINCRBY alone. A script that fails is not undone: check first, write last.
local clock = redis.call('TIME')
if clock[1] * 1000 + math.floor(clock[2] / 1000) > tonumber(ARGV[1]) then
  return redis.error_reply('LATE the caller has given up')
end

local ask = cmsgpack.unpack(ARGV[2])

local function key(...)
  return KEYS[1] .. table.concat({...}, ':')
end

local function get(row, ...)
  return unpack(redis.call('HMGET', row, ...))
end

-- A new row, once: whether this very call (its token tells, where its answer was lost) has made it.
local function add(row, token, fields)
  if redis.call('EXISTS', row) == 1 then return redis.call('HGET', row, '.made_by') == token end
  redis.call('HSET', row, '.made_by', token, unpack(fields))
  return true
end

-- core.rate.ask, but for what it tells of the room: until when (µs) the allowance is used up with so many more, or nil.
local function gcra(most, till, now, count)
  local each, used = math.ceil(60000000 / most), (tonumber(till) or 0) - now
  if used <= 0 or used > 120000000 then used = 0 end
  used = used + count * each
  if used <= most * each then return string.format('%.0f', now + used) end
end

local LIVE = {['"reserved"'] = true, ['"submitting"'] = true, ['"submitted"'] = true}

-- A job's place in an index: its number, so that jobs of one moment keep their order, and its id.
local function id_of(place)
  return string.sub(place, 18)
end

local function whole(job_id)
  local job = key('job', job_id)
  local parts = redis.call('HGET', job, '.parts')
  if not parts then return nil end
  local found = {redis.call('HGETALL', job)}
  for _, part in ipairs(cjson.decode(parts)) do
    found[#found + 1] = redis.call('HGETALL', key('attempt', part))
  end
  return found
end

-- The rule of core.job.Job.status, kept so that a list by status need not read every job there is.
local function restate(job_id)
  local job = key('job', job_id)
  local parts, was, place, created_at = get(job, '.parts', '.status', '.place', 'created_at')
  local live, queued, pictured = false, true, false
  for _, part in ipairs(cjson.decode(parts)) do
    local state, pictures = get(key('attempt', part), 'state', 'pictures')
    live = live or LIVE[state]
    queued = queued and state == '"reserved"'
    pictured = pictured or pictures ~= '[]'
  end
  local status = live and (queued and 'queued' or 'processing') or (pictured and 'completed' or 'failed')
  if status ~= was then
    redis.call('HSET', job, '.status', status)
    redis.call('ZREM', key('jobs:status', was), place)
    redis.call('ZADD', key('jobs:status', status), created_at, place)
  end
end

-- Add to the counters of every payer in each window.
local function count(payers, windows, spent, held)
  for _, payer in ipairs(payers) do
    local usage = key('usage', payer)
    if redis.call('EXISTS', usage) == 0 then redis.call('ZADD', key('scopes'), 0, payer) end
    for _, window in ipairs(windows) do
      if spent ~= '0' then redis.call('HINCRBY', usage, window .. '/spent', spent) end
      if held ~= '0' and held ~= '-0' then redis.call('HINCRBY', usage, window .. '/held', held) end
    end
  end
end

local function append(fields)
  local seq = redis.call('INCR', key('ledger:seq'))
  redis.call('XADD', key('ledger'), seq .. '-0', unpack(fields))
  return seq
end

-- Images that are being made, or no longer, for the team and the key of a job.
local function fly(payers, images)
  for n = 2, #payers do redis.call('HINCRBY', key('flying'), payers[n], images) end
end

-- Close an attempt and its hold, once; false when it was closed before. A failure stays beside an attempt that was charged
-- without pictures: it says why.
local function finish(attempt_id, ending)
  local attempt = key('attempt', attempt_id)
  local id, state, job_id, held, images, reserved_at, failure, token = get(attempt,
    'id', 'state', '.job', 'held', 'images', 'reserved_at', 'failure', '.ended_by')
  if not LIVE[state] and state ~= '"unconfirmed"' then
    return token == ending.token
  end
  local key_id, team, user, model, unit_price, policy, payers, windows = get(key('job', job_id),
    'key_id', 'team', 'user', '.model', '.unit_price', '.policy', '.payers', '.windows')
  payers, windows = cjson.decode(payers), cjson.decode(windows)
  if ending.failure ~= 'null' or ending.pictures ~= '[]' then failure = ending.failure end
  redis.call('HSET', attempt, 'state', ending.state, 'pictures', ending.pictures, 'cost', ending.cost, 'failure', failure,
    'ended_at', ending.now, '.ended_by', ending.token)
  if LIVE[state] then
    redis.call('ZREM', key('attempts:submitted'), attempt_id)
    fly(payers, '-' .. images)
  else
    redis.call('ZREM', key('attempts:unconfirmed'), attempt_id)
  end
  local seq = append({'attempt_id', id, 'kind', ending.kind, 'key_id', key_id, 'team', team,
    'user', user, 'model', model, 'images', ending.images, 'unit_price', unit_price, 'policy', policy,
    'amount', ending.cost, 'at', ending.now, 'counted_at', reserved_at})
  if ending.kind == '"settle"' then redis.call('ZADD', key('ledger:spent'), ending.now, seq) end
  count(payers, windows, ending.cost, '-' .. held)
  restate(job_id)
  return true
end

