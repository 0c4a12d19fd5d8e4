-- Close an attempt and its hold, once; false when it was closed before. A failure stays beside an attempt that was charged
-- without pictures: it says why.
local function finish(attempt_id, ending)
  local attempt = key('attempt', attempt_id)
  local id, state, job_id, held, images, reserved_at, failure, price, token = get(attempt,
    'id', 'state', '.job', 'held', 'images', 'reserved_at', 'failure', 'price', '.ended_by')
  if not LIVE[state] and state ~= '"unconfirmed"' then
    return token == ending.token
  end
  local key_id, team, user, model, unit_price, policy, payers, windows = get(key('job', job_id),
    'key_id', 'team', 'user', '.model', '.unit_price', '.policy', '.payers', '.windows')
  payers, windows = cjson.decode(payers), cjson.decode(windows)
  if price and price ~= 'null' then unit_price = price end
  if ending.failure ~= 'null' or ending.pictures ~= '[]' then failure = ending.failure end
  redis.call('HSET', attempt, 'state', ending.state, 'pictures', ending.pictures, 'cost', ending.cost, 'failure', failure,
    'ended_at', ending.now, 'worker', ending.worker, 'claimed_at', ending.claimed_at, '.ended_by', ending.token)
  if LIVE[state] then
    redis.call('ZREM', key('attempts:submitted'), attempt_id)
    fly(payers, '-' .. images)
  else
    redis.call('ZREM', key('attempts:unconfirmed'), attempt_id)
  end
  local seq = append({'attempt_id', id, 'kind', ending.kind, 'key_id', key_id, 'team', team,
    'user', user, 'model', model, 'images', ending.images, 'unit_price', unit_price, 'policy', policy,
    'amount', ending.cost, 'at', ending.now, 'counted_at', reserved_at})
  redis.call('HSET', attempt, '.end_row', seq)
  if ending.kind == '"settle"' then redis.call('ZADD', key('ledger:spent'), ending.now, seq) end
  count(payers, windows, ending.cost, '-' .. held)
  restate(job_id)
  if ending.pictures ~= '[]' then
    land(job_id, tonumber(ending.images), ending.day)
  else
    fail(job_id)
  end
  return true
end
