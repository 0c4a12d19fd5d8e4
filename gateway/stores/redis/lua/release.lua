-- Release an attempt. `unsent_by`: only what is reserved, and this maker's still; `at`: only what is to be made there still; who
-- repeats what is done is told so.
if ask.unsent_by then
  local state, job_id = get(key('attempt', ask.attempt), 'state', '.job')
  local unsent = state == '"reserved"' and redis.call('HGET', key('job', job_id), 'maker') == ask.unsent_by
  if not unsent and (LIVE[state] or state == '"unconfirmed"') then return 0 end
end
if ask.at then
  local state, provider = get(key('attempt', ask.attempt), 'state', 'provider')
  if provider ~= ask.at and (LIVE[state] or state == '"unconfirmed"') then return 0 end
end
return finish(ask.attempt, ask.ending) and 1 or 0
