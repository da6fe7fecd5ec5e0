-- The log of a session, as scripts read it.

--- @include "log-entry"
--- @include "log-map"
--- @include "session-keys"
--- @include "stored-values"
--- @include "young-log"

-- How much of a log one step looks at: so many entries, and messages of so many bytes in all. The last chunk may exceed
-- that, and one large message that the step looks for.
local LOOK_ENTRIES = 256
local LOOK_BYTES = 262144
-- What is not large may be almost that, so few are read at a time.
local CHUNK = 4

-- The first entries of a log that come after `after`.
local function firstAfter(events, after)
  local later = {}
  for _, item in ipairs(firstEntries(events)) do
    if before(after, item[1]) then later[#later + 1] = item end
  end
  return later
end

-- The large messages after `after`, by the log's map: a list of {log id, stream}.
local function largeAfter(map, after)
  local list = {}
  for id, stream, ends in string.gmatch(map or '', '(%S+) %d+ (%S+) (%S+)\n') do
    if stream ~= '*' and before(after, id) then list[#list + 1] = { id, ends == 'i' and '-' or stream } end
  end
  return list
end

-- The stream of an entry, and whether that ends with it; nil if there is no such entry.
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

-- The messages of `stream` in the log after `after`, until `limit` bytes of them, or its end, or as many entries as one step
-- looks at. `newest`: the log id of the last message of a stream that is open. `first`: the log is not a stream of Redis
-- yet. `map`: see log-map.lua; large messages of other streams are passed over by it.
-- Returns the list of {log id, entry}, how far it looked, and whether there may be more.
local function scanStream(events, stream, after, limit, newest, first, map)
  -- An open stream knows its newest message: behind it there is nothing to look for in a log that others fill.
  if newest and not before(after, newest) then return {}, after, false end
  local found, bytes, seen, looked, from = {}, 0, 0, 0, after
  local larges, at = largeAfter(map, after), 1

  -- Whether that was all that is needed, and then whether there may be more.
  local function look(item)
    local e = entry(item[2])
    local size = #(e.m or '')
    from, seen, looked = item[1], seen + 1, looked + size
    if not e.n or e.s ~= stream then return false end
    whole(e.n)
    found[#found + 1] = { item[1], e }
    bytes = bytes + size
    return e.e == '1' or bytes >= limit, e.e ~= '1'
  end

  while true do
    local large = larges[at]
    local chunk = first and firstAfter(events, from)
      or onLog('XRANGE', events, '(' .. from, large and '(' .. large[1] or '+', 'COUNT', CHUNK) or {}
    for _, item in ipairs(chunk) do
      local done, more = look(item)
      if done then return found, from, more end
    end
    if first then return found, from, false end
    if #chunk < CHUNK then
      if not large then return found, from, false end
      at = at + 1
      if large[2] == nameInMap(stream) then
        -- Trimmed, it is not there any more.
        local item = (onLog('XRANGE', events, large[1], large[1]) or {})[1]
        if item then
          local done, more = look(item)
          if done then return found, from, more end
        end
      end
      from, seen = large[1], seen + 1
    end
    if seen >= LOOK_ENTRIES or looked >= LOOK_BYTES then return found, from, true end
  end
end
