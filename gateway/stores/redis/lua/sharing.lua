-- Entries, jobs that follow others, and how they go. An entry is named by its fingerprint and its scope.

-- How many pictures a job has, and their bytes.
local function pictured(job_id)
  local images, size = 0, 0
  for _, part in ipairs(cjson.decode(redis.call('HGET', key('job', job_id), '.parts') or '[]')) do
    for _, picture in ipairs(cjson.decode(redis.call('HGET', key('attempt', part), 'pictures'))) do
      images, size = images + 1, size + picture.size
    end
  end
  return images, size
end

-- The job that answers for equal orders, and whether it is made: it is being made, or was made whole since that moment.
local function equal(entry, since)
  local id = redis.call('HGET', key('cached', entry), 'job')
  if not id then return nil end
  local status, created_at, count = get(key('job', id), '.status', 'created_at', '.count')
  if OPEN[status] then return id, false end
  if status == 'completed' and tonumber(created_at) >= since and pictured(id) == tonumber(count) then return id, true end
end

local function enter(entry, job_id)
  redis.call('HSET', key('cached', entry), 'job', job_id, 'hits', '0')
  redis.call('ZADD', key('cached'), 0, entry)
end

-- Delete an entry that still has this job: how many.
local function leave(entry, job_id)
  if redis.call('HGET', key('cached', entry), 'job') ~= job_id then return 0 end
  redis.call('DEL', key('cached', entry))
  redis.call('ZREM', key('cached'), entry)
  return 1
end

-- What is spared by whom, if a job is not paid. The price is in the name: no amount is ever computed here.
local function spared(job_id)
  return table.concat(redis.call('HMGET', key('job', job_id), 'team', '.model', '.unit_price'), ',')
end

local function save(day, what, images)
  redis.call('ZADD', key('saved'), 0, day)
  redis.call('HINCRBY', key('saved', day), what, images)
end

-- Journal what is asked about as a job that follows another. Its parts are that one's: they are not copied.
local function follow(leader_id, made)
  local leader = key('job', leader_id)
  local id, maker, parts, status, leaders_place = get(leader, 'id', 'maker', '.parts', '.status', '.place')
  local place = journal('+', status, ask.fields)
  redis.call('HSET', key('job', ask.job), 'source', made and '"hit"' or '"joined"', 'leader', id, '.leader', leader_id,
    '.parts', parts)
  redis.call('ZADD', key('followers', leader_id), ask.created_at, place)
  redis.call('ZADD', used(leaders_place), 'GT', ask.created_at, leaders_place)
  local images = pictured(leader_id)
  if images > 0 then save(ask.day, spared(ask.job), images) end
  if made then
    redis.call('HINCRBY', key('cached', ask.entry), 'hits', 1)
  elseif ask.detached or maker ~= ask.maker then
    redis.call('HSET', leader, 'detached', 'true')
  end
  return whole(ask.job)
end

-- Pictures of a job were settled: those that follow it are spared their price, and what was made past the cache enters it.
local function land(job_id, images, day)
  local sums = {}
  for _, place in ipairs(redis.call('ZRANGE', key('followers', job_id), 0, -1)) do
    if redis.call('EXISTS', key('job', id_of(place))) == 1 then -- an older gateway knows of no followers to delete it from
      local what = spared(id_of(place))
      sums[what] = (sums[what] or 0) + images
    end
  end
  for what, sum in pairs(sums) do save(day, what, sum) end
  local source, entry, status, count = get(key('job', job_id), 'source', '.entry', '.status', '.count')
  if entry and source == '"bypass"' and status == 'completed' and pictured(job_id) == tonumber(count) then
    enter(entry, job_id)
  end
end

-- May it be deleted? It has ended, and no attempt that is unconfirmed still holds money; what follows another never holds any.
local function idle(job_id)
  local leader, parts = get(key('job', job_id), '.leader', '.parts')
  if OPEN[redis.call('HGET', key('job', leader or job_id), '.status')] then return false end
  for _, part in ipairs(leader and {} or cjson.decode(parts)) do
    if redis.call('HGET', key('attempt', part), 'state') == '"unconfirmed"' then return false end
  end
  return true
end

-- A job bore nothing: it answers for nobody, unless something of it is unconfirmed.
local function fail(job_id)
  local entry, status = get(key('job', job_id), '.entry', '.status')
  if entry and status == 'failed' and idle(job_id) then leave(entry, job_id) end
end

-- Delete a job that none follows.
local function erase(job_id)
  local job = key('job', job_id)
  local place, parts, status, indexes, entry, leader = get(job,
    '.place', '.parts', '.status', '.indexes', '.entry', '.leader')
  if leader then
    status = redis.call('HGET', key('job', leader), '.status') or 'completed'
    redis.call('ZREM', key('followers', leader), place)
  else
    for _, part in ipairs(cjson.decode(parts)) do redis.call('DEL', key('attempt', part)) end
  end
  redis.call('ZREM', key('jobs:status', status), place)
  redis.call('ZREM', used(place), place)
  for _, index in ipairs(cjson.decode(indexes)) do redis.call('ZREM', key(index), place) end
  if entry then leave(entry, job_id) end
  redis.call('DEL', job)
end

-- Delete so many of those that follow a job: how many.
local function remove_followers(job_id, most)
  local followers = redis.call('ZRANGE', key('followers', job_id), 0, most - 1)
  for _, place in ipairs(followers) do
    if redis.call('EXISTS', key('job', id_of(place))) == 1 then
      erase(id_of(place))
    else
      redis.call('ZREM', key('followers', job_id), place) -- an older gateway has deleted it
    end
  end
  return #followers
end

-- Delete a job, and first those that follow it; where these are many, some of them alone: how many, and whether it is gone.
local function remove(job_id, most)
  local followers = remove_followers(job_id, most)
  if followers == most then return most, false end
  erase(job_id)
  return followers + 1, true
end

-- The job under an `Idempotency-Key` that came last of those since a moment, if it stands (core.job.Job.stands) or is of
-- another body. By their makers' clocks, which differ, it is one of the newest.
local function repeated(index, body_hash, since)
  local places = redis.call('ZREVRANGEBYSCORE', key(index), '+inf', since, 'LIMIT', 0, 100)
  table.sort(places)
  while #places > 0 and not whole(id_of(places[#places])) do
    places[#places] = nil -- an older gateway, which knows of no such index, has deleted it
  end
  local place = places[#places]
  if not place then return nil end
  local job = key('job', id_of(place))
  local of_body, parts = get(job, 'body_hash', '.parts')
  if of_body ~= body_hash then return whole(id_of(place)) end
  local failed, stands = false, false
  for _, part in ipairs(cjson.decode(parts)) do
    local state, pictures, failure = get(key('attempt', part), 'state', 'pictures', 'failure')
    local code = failure ~= 'null' and cjson.decode(failure).code
    stands = stands or LIVE[state] or pictures ~= '[]' or code == 'upstream_unconfirmed'
    failed = failed or code
  end
  if failed and not stands then return nil end
  redis.call('HSET', job, '.found', '1') -- somebody waits for it: see take_over.lua
  return whole(id_of(place))
end
