-- The queue of work. `ask.what` is one of those at the end; moments are ms of this server's clock. Rows of pieces hold plain
-- text; what is JSON there (`piece`, `pictures`) only passes through. `team` and `line` are JSON, so that no name runs into
-- the next. A piece that waits stands in three ranks of its team, by its number: its line's and, of that, those of its kind
-- (all that decides whether a worker can make it) and of its batch.
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function row(id) return key('queue:piece', id) end

local function rank(line, team) return key('queue:line', line, team) end

local function rank_of_batch(line, batch, team) return key('queue:batch', line, batch, team) end

local function rank_of_kind(line, kind, team) return key('queue:kind', line, kind, team) end

local function kind_of(id)
  return table.concat(redis.call('HMGET', row(id), 'pixels', 'refs', 'mask', 'operation'), ' ')
end

local function wait(id)
  local line, team, batch, seq, deadline = get(row(id), 'line', 'team', 'batch', 'seq', 'deadline')
  local kind = kind_of(id)
  redis.call('HSET', row(id), 'state', 'queued')
  redis.call('ZADD', rank(line, team), seq, id)
  redis.call('ZADD', rank_of_kind(line, kind, team), seq, id)
  redis.call('SADD', key('queue:kinds', line, team), kind)
  if batch ~= '' then redis.call('ZADD', rank_of_batch(line, batch, team), seq, id) end
  redis.call('ZADD', key('queue:deadlines'), deadline, id)
  local turn = redis.call('HGET', key('queue:turns', line), team) or 0
  redis.call('ZADD', key('queue:teams', line), turn, team) -- those that wait, by when they last had one
  redis.call('SADD', key('queue:lines'), line)
end

local function leave(id)
  local line, team, batch = get(row(id), 'line', 'team', 'batch')
  local kind = kind_of(id)
  redis.call('ZREM', rank(line, team), id)
  redis.call('ZREM', rank_of_kind(line, kind, team), id)
  if redis.call('EXISTS', rank_of_kind(line, kind, team)) == 0 then redis.call('SREM', key('queue:kinds', line, team), kind) end
  if batch ~= '' then redis.call('ZREM', rank_of_batch(line, batch, team), id) end
  redis.call('ZREM', key('queue:deadlines'), id)
  if redis.call('EXISTS', rank(line, team)) == 0 then redis.call('ZREM', key('queue:teams', line), team) end
  if redis.call('EXISTS', key('queue:teams', line)) == 0 then redis.call('SREM', key('queue:lines'), line) end
end

-- No claim has it any more.
local function let_go(id)
  redis.call('ZREM', key('queue:leases'), id)
  local claim = redis.call('HGET', row(id), 'claim')
  if claim then redis.call('ZREM', key('queue:claim', claim), id) end
end

local function drop(id)
  redis.call('DEL', row(id))
  redis.call('ZREM', key('queue:pictured'), id)
end

-- It has ended, and goes by itself after a time.
local function last(id)
  redis.call('PEXPIRE', row(id), ask.kept)
  redis.call('ZADD', key('queue:pictured'), 'XX', now + ask.kept, id)
end

local function fail(id, failure, message)
  redis.call('HSET', row(id), 'state', 'failed', 'failure', failure, 'message', message)
  last(id)
end

-- Late ones fail; those whose lease has ended wait again or, after so many deliveries, fail. Their claim stays in the row:
-- until another has it, the worker that fell silent may still end it.
local function tidy()
  local PAGE = 100
  redis.call('ZREMRANGEBYSCORE', key('queue:pictured'), '-inf', now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('queue:leases'), '-inf', now, 'LIMIT', 0, PAGE)) do
    local cancelled, delivery = get(row(id), 'cancelled', 'delivery')
    let_go(id)
    redis.call('HSET', row(id), 'batch', '')
    if cancelled == '1' then fail(id, 'cancelled', ask.words.cancelled)
    elseif tonumber(delivery) >= ask.most then fail(id, 'lost', ask.words.lost)
    else wait(id) end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key('queue:deadlines'), '-inf', now, 'LIMIT', 0, PAGE)) do
    leave(id)
    fail(id, 'late', ask.words.late)
  end
end

-- The oldest of a team that fits. Those that do not are not gone through one by one: thousands may wait for another worker,
-- and this one asks again and again, while all that is asked of this server waits.
local function first_to_fit(line, team, fits)
  local oldest = redis.call('ZRANGE', rank(line, team), 0, 0)[1]
  if not oldest or fits(kind_of(oldest)) then return oldest end
  local found, least
  for _, kind in ipairs(redis.call('SMEMBERS', key('queue:kinds', line, team))) do
    if fits(kind) then
      local id, seq = unpack(redis.call('ZRANGE', rank_of_kind(line, kind, team), 0, 0, 'WITHSCORES'))
      if not least or tonumber(seq) < least then found, least = id, tonumber(seq) end
    end
  end
  return found
end

-- The oldest of a team's in a batch for which there is room, among its first: a call may go with fewer than it could hold.
local function first_with_room(rank, images, tokens)
  for _, id in ipairs(redis.call('ZRANGE', rank, 0, 99)) do
    local its_images, its_tokens = get(row(id), 'images', 'tokens')
    if tonumber(its_images) <= images and tonumber(its_tokens) <= tokens then return id end
  end
end

-- {turn, team, line} of all teams of which pieces wait in these lines, whose turn is first in front.
local function in_turn(lines)
  local teams = {}
  for _, line in ipairs(lines) do
    local flat = redis.call('ZRANGE', key('queue:teams', line), 0, -1, 'WITHSCORES')
    for n = 1, #flat, 2 do teams[#teams + 1] = {tonumber(flat[n + 1]), flat[n], line} end
  end
  if #lines > 1 then
    table.sort(teams, function(a, b)
      if a[1] ~= b[1] then return a[1] < b[1] end
      return a[2] .. a[3] < b[2] .. b[3]
    end)
  end
  return teams
end

local function delivered(id)
  local piece, delivery = get(row(id), 'piece', 'delivery')
  return {piece, delivery, redis.call('ZSCORE', key('queue:leases'), id)}
end

local function lease(id)
  redis.call('ZADD', key('queue:leases'), now + ask.lease, id)
  redis.call('HSET', row(id), 'state', 'claimed', 'claim', ask.claim)
  local claimed = key('queue:claim', ask.claim)
  redis.call('ZADD', claimed, redis.call('HGET', row(id), 'seq'), id)
  redis.call('PEXPIRE', claimed, ask.lease * 3) -- it is only looked for while its claim may be said again
end

local function give(id, line, team)
  leave(id)
  lease(id)
  redis.call('HSET', row(id), 'worker', ask.worker, 'claimed_at', now, 'step', '0', 'of', '0')
  redis.call('HINCRBY', row(id), 'delivery', 1)
  local turn = redis.call('INCR', key('queue:turn'))
  redis.call('HSET', key('queue:turns', line), team, turn)
  redis.call('ZADD', key('queue:teams', line), 'XX', turn, team)
  return delivered(id)
end

-- Whether a claim may still say what becomes of a piece: its own or, after its lease, nobody's.
local function owns()
  local claim, state = get(row(ask.id), 'claim', 'state')
  return claim == ask.claim and (state == 'claimed' or state == 'queued'), state
end

local function take_from_line(state)
  if state == 'queued' then leave(ask.id) end
end

local DO = {}

function DO.enqueue()
  if redis.call('EXISTS', row(ask.id)) == 1 then return end
  redis.call('HSET', row(ask.id), 'seq', redis.call('INCR', key('queue:seq')), 'queued_at', now, unpack(ask.fields))
  wait(ask.id)
end

function DO.claim()
  tidy()
  local taken = {}
  for _, id in ipairs(redis.call('ZRANGE', key('queue:claim', ask.claim), 0, -1)) do
    if get(row(id), 'state') == 'claimed' and redis.call('HGET', row(id), 'claim') == ask.claim then
      lease(id)
      taken[#taken + 1] = delivered(id)
    end
  end
  if #taken > 0 then return taken end

  local can = {}
  for _, operation in ipairs(ask.operations) do can[operation] = true end
  local batch, line
  local images, tokens = ask.images, ask.tokens
  local function anything(kind)
    local pixels, refs, mask, operation = string.match(kind, '^(%d+) (%d+) (%d) (.+)$')
    return tonumber(pixels) <= ask.pixels and tonumber(refs) <= ask.refs and can[operation] and (mask == '0' or ask.masks)
  end
  local function take(id, in_line, team)
    local its_images, its_tokens, its_batch = get(row(id), 'images', 'tokens', 'batch')
    images, tokens = images - its_images, tokens - its_tokens
    batch, line = its_batch, in_line
    taken[#taken + 1] = give(id, in_line, team)
    return true
  end
  local function next_of_line()
    for _, each in ipairs(in_turn(ask.lines)) do
      local id = first_to_fit(each[3], each[2], anything)
      if id then return take(id, each[3], each[2]) end
    end
    return false
  end
  local function next_of_batch()
    for _, each in ipairs(in_turn({line})) do
      local id = first_with_room(rank_of_batch(line, batch, each[2]), images, tokens)
      if id then return take(id, line, each[2]) end
    end
    return false
  end

  local found = next_of_line()
  while found and batch ~= '' and images > 0 and tokens > 0 do found = next_of_batch() end
  return taken
end

function DO.held()
  return owns() and redis.call('HGET', row(ask.id), 'piece')
end

function DO.extend()
  local own, state = owns()
  if not own then return nil end
  take_from_line(state)
  lease(ask.id)
  redis.call('HSET', row(ask.id), 'step', ask.step, 'of', ask.of)
  return {redis.call('ZSCORE', key('queue:leases'), ask.id), redis.call('HGET', row(ask.id), 'cancelled')}
end

-- By their indexes, as JSON within JSON: they only pass through, and whoever sweeps finds them.
function DO.partial()
  if not owns() then return 0 end
  local partials = cjson.decode(redis.call('HGET', row(ask.id), 'partials'))
  partials[ask.index] = ask.picture
  redis.call('HSET', row(ask.id), 'partials', cjson.encode(partials))
  redis.call('ZADD', key('queue:pictured'), now + ask.kept, ask.id)
  return 1
end

DO['end'] = function()
  local own, state = owns()
  if not own then -- but the same may have been said before, and its answer lost
    local claim, failure = get(row(ask.id), 'claim', 'failure')
    return (claim == ask.claim and state == ask.state and failure == ask.failure) and 1 or 0
  end
  take_from_line(state)
  let_go(ask.id)
  redis.call('HSET', row(ask.id), 'state', ask.state, 'pictures', ask.pictures, 'seconds', ask.seconds,
    'failure', ask.failure, 'message', ask.message)
  if ask.pictures ~= '[]' then redis.call('ZADD', key('queue:pictured'), now, ask.id) end
  last(ask.id)
  return 1
end

function DO.release()
  local own, state = owns()
  if not own or state ~= 'claimed' then return 0 end
  let_go(ask.id)
  redis.call('HDEL', row(ask.id), 'claim', 'worker', 'claimed_at')
  redis.call('HINCRBY', row(ask.id), 'delivery', -1)
  if redis.call('HGET', row(ask.id), 'cancelled') == '1' then fail(ask.id, 'cancelled', ask.words.cancelled)
  else wait(ask.id) end
  return 1
end

function DO.cancel()
  local state = redis.call('HGET', row(ask.id), 'state')
  if state == 'claimed' then redis.call('HSET', row(ask.id), 'cancelled', '1') end
  if state == 'queued' then
    leave(ask.id)
    drop(ask.id)
  end
  return (not state or state == 'queued') and 1 or 0
end

function DO.became()
  tidy()
  if redis.call('EXISTS', row(ask.id)) == 0 then return nil end
  return redis.call('HMGET', row(ask.id), 'state', 'worker', 'delivery', 'step', 'of', 'cancelled', 'pictures', 'seconds',
    'failure', 'message', 'partials', 'claimed_at')
end

function DO.forget()
  local state = redis.call('HGET', row(ask.id), 'state')
  if state == 'queued' then leave(ask.id) elseif state then let_go(ask.id) end
  drop(ask.id)
end

-- As Redis sorts the members of a set, whatever its locale.
local function sorts_before(one, other)
  for n = 1, math.min(#one, #other) do
    local a, b = string.byte(one, n), string.byte(other, n)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- A turn brings one of each team: those before it are as many of every team, and one more where that is next before its own.
local function before(line, team, place)
  local turn = tonumber(redis.call('HGET', key('queue:turns', line), team) or 0)
  local sum = place
  for _, each in ipairs(in_turn({line})) do
    local first = each[1] < turn or each[1] == turn and sorts_before(each[2], team)
    if each[2] ~= team then sum = sum + math.min(redis.call('ZCARD', rank(line, each[2])), place + (first and 1 or 0)) end
  end
  return sum
end

function DO.position()
  local state, line, team = get(row(ask.id), 'state', 'line', 'team')
  if state ~= 'queued' then return nil end
  return before(line, team, redis.call('ZRANK', rank(line, team), ask.id))
end

function DO.ahead()
  tidy()
  return before(ask.line, ask.team, redis.call('ZCARD', rank(ask.line, ask.team)))
end

-- How many pieces wait in a line, and for how many ms the first of them has.
local function waits(line)
  local waiting, oldest = 0, now
  for _, each in ipairs(in_turn({line})) do
    local own = rank(line, each[2])
    waiting = waiting + redis.call('ZCARD', own)
    local queued_at = redis.call('HGET', row(redis.call('ZRANGE', own, 0, 0)[1]), 'queued_at')
    oldest = math.min(oldest, tonumber(queued_at))
  end
  return waiting, waiting > 0 and now - oldest
end

-- How many pieces are claimed of each line, and by each worker: no more than there are workers' hands.
local function hands()
  local by_line, by_worker = {}, {}
  for _, id in ipairs(redis.call('ZRANGE', key('queue:leases'), 0, -1)) do
    local line, worker = get(row(id), 'line', 'worker')
    if line then by_line[line] = (by_line[line] or 0) + 1 end
    if worker then by_worker[worker] = (by_worker[worker] or 0) + 1 end
  end
  return by_line, by_worker
end

function DO.depth()
  tidy()
  local waiting, age = waits(ask.line)
  local claimed = hands()
  return {waiting, age, claimed[ask.line] or 0}
end

-- {line, waiting, age of the oldest, claimed} of each line, and {presence, ms left, claimed} of each live worker.
function DO.overview()
  tidy()
  local claimed, hand = hands()
  local lines, workers = {}, {}
  for _, line in ipairs(redis.call('SMEMBERS', key('queue:lines'))) do
    local waiting, age = waits(line)
    lines[#lines + 1] = {line, waiting, age, claimed[line] or 0}
    claimed[line] = nil
  end
  for line, count in pairs(claimed) do lines[#lines + 1] = {line, 0, false, count} end
  local flat = redis.call('ZRANGE', key('queue:workers'), 0, -1, 'WITHSCORES')
  for n = 1, #flat, 2 do
    local presence, left = redis.call('HGET', key('queue:presences'), flat[n]), tonumber(flat[n + 1]) - now
    if presence and left > 0 then workers[#workers + 1] = {presence, left, hand[flat[n]] or 0} end
  end
  return {lines, workers}
end

function DO.present()
  redis.call('HSET', key('queue:presences'), ask.worker, ask.presence)
  redis.call('ZADD', key('queue:workers'), now + ask.stays, ask.worker)
end

function DO.absent()
  redis.call('HDEL', key('queue:presences'), ask.worker)
  redis.call('ZREM', key('queue:workers'), ask.worker)
end

function DO.workers()
  for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key('queue:workers'), '-inf', now)) do
    ask.worker = worker
    DO.absent()
  end
  return redis.call('HVALS', key('queue:presences'))
end

return DO[ask.what]()
