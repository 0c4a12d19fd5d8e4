-- The queue of work. `ask.what` is one of those at the end; moments are ms of this server's clock. Rows of pieces hold plain
-- text; what is JSON there (`piece`, `pictures`) only passes through. `team` and `model` are JSON, so that no name runs into
-- the next. A piece that waits stands in two lines of its team, by its number: its model's and its batch's.
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function row(id) return key('queue:piece', id) end

local function line(of, team) return key('queue:line', of, team) end

local function wait(id)
  local model, team, batch, seq, deadline = get(row(id), 'model', 'team', 'batch', 'seq', 'deadline')
  redis.call('HSET', row(id), 'state', 'queued')
  redis.call('ZADD', line(model, team), seq, id)
  if batch ~= '' then redis.call('ZADD', line(batch, team), seq, id) end
  redis.call('ZADD', key('queue:deadlines'), deadline, id)
  local turn = redis.call('HGET', key('queue:turns', model), team) or 0
  redis.call('ZADD', key('queue:teams', model), turn, team) -- those that wait, by when they last had one
end

local function leave(id)
  local model, team, batch = get(row(id), 'model', 'team', 'batch')
  redis.call('ZREM', line(model, team), id)
  if batch ~= '' then redis.call('ZREM', line(batch, team), id) end
  redis.call('ZREM', key('queue:deadlines'), id)
  if redis.call('EXISTS', line(model, team)) == 0 then redis.call('ZREM', key('queue:teams', model), team) end
end

-- No claim has it any more.
local function let_go(id)
  redis.call('ZREM', key('queue:leases'), id)
  local claim = redis.call('HGET', row(id), 'claim')
  if claim then redis.call('ZREM', key('queue:claim', claim), id) end
end

local function fail(id, failure, message)
  redis.call('HSET', row(id), 'state', 'failed', 'failure', failure, 'message', message)
  redis.call('PEXPIRE', row(id), ask.kept)
end

-- Late ones fail; those whose lease has ended wait again or, after so many deliveries, fail. Their claim stays in the row:
-- until another has it, the worker that fell silent may still end it.
local function tidy()
  local PAGE = 100
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

-- The oldest of a line that fits: its id, images and tokens.
local function first(of, team, fits)
  local PAGE = 100
  for start = 0, math.huge, PAGE do
    local ids = redis.call('ZRANGE', line(of, team), start, start + PAGE - 1)
    for _, id in ipairs(ids) do
      local pixels, refs, operation, images, tokens = get(row(id), 'pixels', 'refs', 'operation', 'images', 'tokens')
      if fits(tonumber(pixels), tonumber(refs), operation, tonumber(images), tonumber(tokens)) then
        return id, tonumber(images), tonumber(tokens)
      end
    end
    if #ids < PAGE then return nil end
  end
end

-- {turn, team, model} of all teams of which pieces of these models wait, whose turn is first in front.
local function in_turn(models)
  local teams = {}
  for _, model in ipairs(models) do
    local flat = redis.call('ZRANGE', key('queue:teams', model), 0, -1, 'WITHSCORES')
    for n = 1, #flat, 2 do teams[#teams + 1] = {tonumber(flat[n + 1]), flat[n], model} end
  end
  if #models > 1 then
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

local function give(id, model, team)
  leave(id)
  lease(id)
  redis.call('HSET', row(id), 'worker', ask.worker, 'step', '0', 'of', '0')
  redis.call('HINCRBY', row(id), 'delivery', 1)
  local turn = redis.call('INCR', key('queue:turn'))
  redis.call('HSET', key('queue:turns', model), team, turn)
  redis.call('ZADD', key('queue:teams', model), 'XX', turn, team)
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
  redis.call('HSET', row(ask.id), 'seq', redis.call('INCR', key('queue:seq')), unpack(ask.fields))
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
  local batch, model
  local images, tokens = ask.images, ask.tokens
  local function take(of, team, in_model, fits)
    local id, its_images, its_tokens = first(of, team, fits)
    if not id then return false end
    images, tokens = images - its_images, tokens - its_tokens
    batch, model = redis.call('HGET', row(id), 'batch'), in_model
    taken[#taken + 1] = give(id, in_model, team)
    return true
  end
  local function anything(pixels, refs, operation) return pixels <= ask.pixels and refs <= ask.refs and can[operation] end
  local function more(_, _, _, its_images, its_tokens) return its_images <= images and its_tokens <= tokens end
  local function next_of(models, of, fits)
    for _, each in ipairs(in_turn(models)) do
      if take(of or each[3], each[2], each[3], fits) then return true end
    end
    return false
  end

  local found = next_of(ask.models, nil, anything)
  while found and batch ~= '' and images > 0 and tokens > 0 do found = next_of({model}, batch, more) end
  return taken
end

function DO.extend()
  local own, state = owns()
  if not own then return nil end
  take_from_line(state)
  lease(ask.id)
  redis.call('HSET', row(ask.id), 'step', ask.step, 'of', ask.of)
  return {redis.call('ZSCORE', key('queue:leases'), ask.id), redis.call('HGET', row(ask.id), 'cancelled')}
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
  redis.call('PEXPIRE', row(ask.id), ask.kept)
  return 1
end

function DO.release()
  local own, state = owns()
  if not own or state ~= 'claimed' then return 0 end
  let_go(ask.id)
  redis.call('HDEL', row(ask.id), 'claim', 'worker')
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
    redis.call('DEL', row(ask.id))
  end
  return (not state or state == 'queued') and 1 or 0
end

function DO.became()
  tidy()
  if redis.call('EXISTS', row(ask.id)) == 0 then return nil end
  return redis.call('HMGET', row(ask.id), 'state', 'worker', 'delivery', 'step', 'of', 'cancelled', 'pictures', 'seconds',
    'failure', 'message')
end

function DO.forget()
  local state = redis.call('HGET', row(ask.id), 'state')
  if state == 'queued' then leave(ask.id) elseif state then let_go(ask.id) end
  redis.call('DEL', row(ask.id))
end

-- A turn brings one of each team: those before it are as many of every team, and one more where that is next before its own.
function DO.position()
  local state, model, team = get(row(ask.id), 'state', 'model', 'team')
  if state ~= 'queued' then return nil end
  local place = redis.call('ZRANK', line(model, team), ask.id)
  local before, own_turn = place, false
  for _, each in ipairs(in_turn({model})) do
    if each[2] == team then own_turn = true
    else before = before + math.min(redis.call('ZCARD', line(model, each[2])), place + (own_turn and 0 or 1)) end
  end
  return before
end

function DO.depth()
  tidy()
  local waiting, oldest = 0, nil
  for _, each in ipairs(in_turn({ask.model})) do
    local own = line(ask.model, each[2])
    waiting = waiting + redis.call('ZCARD', own)
    local queued_at = redis.call('HGET', row(redis.call('ZRANGE', own, 0, 0)[1]), 'queued_at')
    if not oldest or tonumber(queued_at) < tonumber(oldest) then oldest = queued_at end
  end
  return {waiting, oldest}
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
