-- Trims a log that is bounded in bytes.

--- @include "log-map"
--- @include "stored-values"

-- Drops the oldest entries of a log: those before the first entry in its map that has at least `least` bytes before it. It keeps the
-- entry `newest`, which has `begun` bytes before it, and all after it.
--
-- Each entry says in its field `o` how many bytes were logged before it. So the size of a log is the number of bytes ever logged
-- minus the `o` of its oldest entry, even if MAXLEN or age have trimmed it too.
--
-- Returns a lower bound of the `o` of the oldest entry, and the map from that entry on, or nil if the map stays as it is.
local function trimBytes(events, map, least, newest, begun)
  local id, offset, rest = placeBehind(map, least)
  if not id or not before(id, newest) then id, offset, rest = newest, begun, nil end
  redis.call('XTRIM', events, 'MINID', id)
  return offset, rest
end
