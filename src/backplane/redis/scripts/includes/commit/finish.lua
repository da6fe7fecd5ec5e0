-- What a commit script ends with: runs the operations, and does what is to be done once for all of them.

while at <= #ARGV do
  at = at + 1
  results[#results + 1] = run[ARGV[at - 1]]()
end
-- Each start of a node leaves a field t:<node> behind, and perhaps a name in reps. Where there are many, those go of nodes that have
-- committed nothing for QUIET_S: no repeat of theirs can come any more. `quiet` is "<s by the clock of Redis> <node>:<number> …",
-- what there was at the last look. A node looks with its first commit in the session.
local MANY_NODES, QUIET_S = 64, 3600
if not repeated and not fields[mark] and redis.call('HLEN', streams) > MANY_NODES then
  write()
  local numbers, names, all = {}, {}, redis.call('HGETALL', streams)
  local function note(name, value)
    if name ~= node and not numbers[name] then numbers[name], names[#names + 1] = value, name end
  end
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) == 't:' then note(string.sub(all[i], 3), all[i + 1]) end
  end
  for name in string.gmatch(get('reps') or '', '%S+') do note(name, '0') end
  local now, before = tonumber(redis.call('TIME')[1]), get('quiet') or ''
  local since = tonumber(string.match(before, '^%d+'))
  if #names > MANY_NODES and not (since and now >= since and now - since < QUIET_S) then
    local gone, left, reps = {}, { string.format('%.0f', now) }, {}
    for name, value in string.gmatch(before, '(%S+):(%d+)') do
      if numbers[name] == value then numbers[name], gone[#gone + 1] = nil, 't:' .. name end
    end
    for _, name in ipairs(names) do
      if numbers[name] then left[#left + 1] = name .. ':' .. numbers[name] end
    end
    for name in string.gmatch(get('reps') or '', '%S+') do
      if name == node or numbers[name] then reps[#reps + 1] = name end
    end
    send('HDEL', gone)
    set('reps', table.concat(reps, ' '))
    set('quiet', table.concat(left, ' '))
  end
end
-- Last: a script that failed in the middle has not been carried out, and may not be taken for a repeat.
if not repeated then
  set(mark, number)
  set('bytes', bytes)
end

local ttl, maxAge = tonumber((active or called) and ARGV[4] or ARGV[5]), tonumber(ARGV[7])
-- Of the clock of Redis, as text: a number of so many digits would be written with an exponent.
local time = logged and string.match(logged, '^%d+')
local function isDue(name, every)
  local elapsed = time and tonumber(time) - whole(fields[name])
  return not elapsed or elapsed < 0 or elapsed >= every
end
if used and (lengthened or isDue('kept', slackOf(ttl))) then
  -- Nothing is logged by a repeat: the first run has noted the time.
  if time then redis.call('HSET', record, 'seen', time) end
  expireIn(record, ttl)
  expireIn(streams, ttl)
  if time then set('kept', time) end
end
if logged then
  -- Of the first entries none goes before its time.
  if ARGV[3] ~= '' and not fields.first then
    local from = whole(fields.from)
    local oldest = trimBytes(from, tonumber(ARGV[3]))
    if oldest ~= from then set('from', oldest) end
  end
  if lengthened or isDue('trimmed', slackOf(math.min(ttl, maxAge))) then
    if maxAge > 0 and not fields.first then
      redis.call('XTRIM', events, 'MINID', string.format('%.0f', tonumber(time) - maxAge))
    end
    expireLog(events, math.min(ttl, maxAge))
    set('trimmed', time)
  end
end
write()
wake()
if not stale then
  local only = #results == 1 and results[1]
  -- Of a call's two steps; nothing in it has a space. One text costs both sides less than lists of many.
  if only and (only[1] == 'opened' or only[1] == 'appended') then return revision .. ' ' .. table.concat(only, ' ') end
  return { 'ok', revision, '', '', results }
end
return { 'ok', revision, redis.call('HGETALL', record), redis.call('HGET', streams, 'h:' .. STANDALONE) or '', results }
