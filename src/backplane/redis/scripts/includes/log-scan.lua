-- How scripts read the log of a session.

--- @include "log-entry"
--- @include "log-map"
--- @include "session-keys"
--- @include "stored-values"
--- @include "young-log"

-- About how many entries one step reads, and how many bytes of messages. Redis serves no other client meanwhile. The last chunk may
-- exceed these limits, and so may one large message that the step looks for.
local LOOK_ENTRIES = 256
local LOOK_BYTES = 262144
-- How many entries a step reads at a time, at first and at most. Each message may be just below LARGE_BYTES. So the number grows only
-- as long as the entries are small.
local FIRST_CHUNK = 4
local MOST_CHUNK = 16
local SMALL_BYTES = 1024

-- Returns the entries after `after` of a log that is still a string.
local function firstAfter(events, after)
  local later = {}
  for _, item in ipairs(firstEntries(events)) do
    if before(after, item[1]) then later[#later + 1] = item end
  end
  return later
end

-- Returns a list of the large messages that the map knows after `after`: { log id, stream } each. The stream is - if the client
-- sent the message.
local function largeAfter(map, after)
  local list = {}
  for id, stream, ends in string.gmatch(map or '', '(%S+) %d+ (%S+) (%S+)\n') do
    if stream ~= '*' and before(after, id) then list[#list + 1] = { id, ends == 'i' and '-' or stream } end
  end
  return list
end

-- Returns the stream of an entry, and whether the entry ends that stream; nil if the log has no such entry. `first` is set if the
-- log is still a string.
local function entryAt(events, id, first, map)
  for large, stream, ends in string.gmatch(map or '', '(%S+) %d+ (%S+) (%S+)\n') do
    if large == id and stream ~= '*' then return stream, ends == '1' end
  end
  local found
  if first then
    for _, item in ipairs(firstEntries(events)) do found = item[1] == id and item or found end
  else
    found = (onLog('XRANGE', events, id, id) or {})[1]
  end
  if not found then return nil end
  local e = entry(found[2])
  return e.s, e.e == '1'
end

-- Collects the messages of `stream` after `after`. It stops at the end of the stream, with `limit` bytes of messages, or when it
-- has read as much as one step may.
--   newest  log id of the last message of a stream that is open, nil for one that has ended
--   first   set if the log is still a string
--   map     the map of the log, by which it passes over large messages of other streams
-- Returns a list of the messages, the log id up to which it has read, and whether there may be more. A message is a table of the
-- fields id (its log id), n, m, e and q.
local function scanStream(events, stream, after, limit, newest, first, map)
  -- The reader has the newest message of the stream. Only entries of other streams can follow it in the log.
  if newest and not before(after, newest) then return {}, after, false end
  local found, bytes, seen, looked, from, count = {}, 0, 0, 0, after, FIRST_CHUNK
  local larges, at = largeAfter(map, after), 1

  -- Takes one entry. Returns whether the scan is done, and if so, whether there may be more.
  local function look(item)
    local id, fields = item[1], item[2]
    local s, n, m, e, q
    -- A table of all fields, as entry() makes it, would take Redis longer.
    for i = 1, #fields, 2 do
      local name, value = fields[i], fields[i + 1]
      if name == 's' then s = value
      elseif name == 'n' then n = value
      elseif name == 'm' then m = value
      elseif name == 'e' then e = value
      elseif name == 'q' then q = value end
    end
    local size = m and #m or 0
    from, seen, looked = id, seen + 1, looked + size
    if not n or s ~= stream then return false end
    whole(n)
    found[#found + 1] = { id = id, n = n, m = m, e = e, q = q }
    bytes = bytes + size
    return e == '1' or bytes >= limit, e ~= '1'
  end

  while true do
    local large = larges[at]
    local chunk = first and firstAfter(events, from)
      or onLog('XRANGE', events, '(' .. from, large and '(' .. large[1] or '+', 'COUNT', count) or {}
    for _, item in ipairs(chunk) do
      local done, more = look(item)
      if done then return found, from, more end
    end
    if first then return found, from, false end
    if #chunk < count then
      if not large then return found, from, false end
      at = at + 1
      if large[2] == nameInMap(stream) then
        -- The message is missing if the log has been trimmed since the map was written.
        local item = (onLog('XRANGE', events, large[1], large[1]) or {})[1]
        if item then
          local done, more = look(item)
          if done then return found, from, more end
        end
      end
      from, seen = large[1], seen + 1
    end
    if looked < seen * SMALL_BYTES then count = math.min(count * 2, MOST_CHUNK) end
    if seen >= LOOK_ENTRIES or looked >= LOOK_BYTES then return found, from, true end
  end
end
