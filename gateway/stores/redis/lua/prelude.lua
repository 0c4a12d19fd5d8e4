-- What every script begins with; then come sharing.lua and ending.lua. KEYS[1]: what all keys begin with. ARGV[1]: the moment
-- (ms, this server's clock) after which the caller has given up; nothing may happen then, since the caller may have done
-- otherwise meanwhile. ARGV[2]: what is asked. Rows are hashes of JSON values; fields that begin with a dot are the store's
-- own, and plain text.
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

-- A job's place in an index: its number, so that jobs of one moment keep their order, and its id; between them a `+` where
-- it follows another, so that whoever wants none of those need not read them.
local function id_of(place)
  return string.sub(place, 18)
end

local function follows(place)
  return string.sub(place, 17, 17) == '+'
end

local OPEN = {queued = true, processing = true}

-- The index of when such jobs were last used: those that follow others have their own, and go without what they follow.
local function used(place)
  return key('used', follows(place) and 'following' or 'made')
end

-- Write a new job with these fields, and its place in all of its indexes.
local function journal(mark, status, fields)
  local place = string.format('%016d', redis.call('INCR', key('jobs:seq'))) .. mark .. ask.job
  redis.call('HSET', key('job', ask.job), '.place', place, unpack(fields))
  redis.call('ZADD', key('jobs:status', status), ask.created_at, place)
  redis.call('ZADD', used(place), ask.created_at, place)
  for _, index in ipairs(ask.indexes) do
    redis.call('ZADD', key(index), ask.created_at, place)
  end
  return place
end

-- A row as one JSON text, without the store's own fields, and open for more; nil where it is not there. Its caller reads one
-- answer instead of one a field.
local function members(row)
  local flat, text, last = redis.call('HGETALL', row), {}, 0
  if #flat == 0 then return nil end
  for n = 1, #flat, 2 do
    local name = flat[n]
    if string.byte(name) ~= 46 then -- a dot
      last = last + 1
      text[last] = '"' .. name .. '":' .. flat[n + 1]
    end
  end
  return '{' .. table.concat(text, ',')
end

-- A job with its attempts, as one JSON text; nil where it is not there, or what it follows: an older gateway forgets that
-- alone.
local function whole(job_id)
  local job = key('job', job_id)
  local parts = redis.call('HGET', job, '.parts')
  if not parts then return nil end
  local attempts = {}
  for n, part in ipairs(cjson.decode(parts)) do
    local attempt = members(key('attempt', part))
    if not attempt then return nil end
    attempts[n] = attempt .. '}'
  end
  return members(job) .. ',"attempts":[' .. table.concat(attempts, ',') .. ']}'
end

-- Bring places with their moments from one index to another; so many in one call, which takes no endless list.
local function move(from, to, places)
  local MANY = 400
  for first = 1, #places, MANY do
    local gone, come = {}, {}
    for n = first, math.min(#places, first + MANY - 1), 2 do
      gone[#gone + 1] = places[n]
      come[#come + 1] = places[n + 1]
      come[#come + 1] = places[n]
    end
    redis.call('ZREM', from, unpack(gone))
    redis.call('ZADD', to, unpack(come))
  end
end

-- The rule of core.job.Job.status, kept so that a list by status need not read every job there is. Those that follow the job
-- have none of their own: they only stand where it stands.
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
  if status == was then return end
  redis.call('HSET', job, '.status', status)
  move(key('jobs:status', was), key('jobs:status', status), {place, created_at})
  move(key('jobs:status', was), key('jobs:status', status),
    redis.call('ZRANGE', key('followers', job_id), 0, -1, 'WITHSCORES'))
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

-- How the budgets of these scopes stand, as one JSON text: [[scope, number of the window, limit, spent, held], ...].
local function standing(scopes)
  local states = {}
  for _, scope in ipairs(scopes) do
    for n, limit in ipairs(redis.call('HMGET', key('budgets', scope), unpack(ask.kinds))) do
      if limit then
        local window = ask.windows[n]
        local spent, held = get(key('usage', scope), window .. '/spent', window .. '/held')
        states[#states + 1] = {scope, n, limit, spent or '0', held or '0'}
      end
    end
  end
  return #states > 0 and cjson.encode(states) or '[]'
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
