-- Removes what nodes that are gone have left in the streams hash.

--- @include "commit/step"

-- Each start of a node leaves a field t:<node> in a session, and perhaps a name in `reps`. If a session has more than MANY_NODES of
-- them, this forgets nodes that have committed nothing for QUIET_S seconds: no repeat of theirs can come any more.
--
-- A node looks with its first commit in a session. It compares the numbers in t:<node> with those of the look before, which the field
-- `quiet` keeps: "<seconds by the clock of Redis> <node>:<number> ...".
local function forgetQuietNodes()
  local MANY_NODES, QUIET_S = 64, 3600
  if step.repeated or get('t:' .. step.node) or redis.call('HLEN', step.streams) <= MANY_NODES then return end
  write()
  local numbers, names, all = {}, {}, redis.call('HGETALL', step.streams)
  local function note(name, value)
    if name ~= step.node and not numbers[name] then numbers[name], names[#names + 1] = value, name end
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
      if name == step.node or numbers[name] then reps[#reps + 1] = name end
    end
    send('HDEL', gone)
    set('reps', table.concat(reps, ' '))
    set('quiet', table.concat(left, ' '))
  end
end
