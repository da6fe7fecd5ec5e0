-- The log of a session, as scripts read it.

local function entry(fields)
  local e = {}
  for i = 1, #fields, 2 do e[fields[i]] = fields[i + 1] end
  return e
end

-- The first entries of a log that come after `after`.
local function firstAfter(events, after)
  local later = {}
  for _, item in ipairs(firstEntries(events)) do
    if before(after, item[1]) then later[#later + 1] = item end
  end
  return later
end

-- The messages of `stream` in the log after `after`, until `limit` bytes of them or `scan` entries of any kind.
-- `first`: the log has not become a stream yet.
-- Returns the list of {log id, entry}, how far it looked, and whether it stopped before the end of the log.
local function scanStream(events, stream, after, limit, scan, newest, first)
  -- An open stream knows its newest message: behind it there is nothing to look for in a log that others fill.
  if newest and not before(after, newest) then return {}, after, false end
  local found, bytes, seen, from = {}, 0, 0, after
  -- Few at first: of big messages a page holds a handful, and what is read beyond it is read for nothing.
  local count = 8
  while true do
    local chunk = first and firstAfter(events, from) or redis.call('XRANGE', events, '(' .. from, '+', 'COUNT', count)
    for _, item in ipairs(chunk) do
      from = item[1]
      seen = seen + 1
      local e = entry(item[2])
      if e.n and e.s == stream then
        found[#found + 1] = { item[1], e }
        bytes = bytes + #(e.m or '')
        if bytes >= limit then return found, from, true end
      end
    end
    if #chunk < count then return found, from, false end
    if seen >= scan then return found, from, true end
    count = math.min(count * 2, 256)
  end
end
