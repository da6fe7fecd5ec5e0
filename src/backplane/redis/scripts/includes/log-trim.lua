-- How a log that is bounded in bytes gets shorter.

--- @include "log-map"
--- @include "stored-values"

-- Drops the oldest entries of a log, up to the first place of its map with at least `least` bytes before it, but none from
-- `newest` on, which has `begun` bytes before it. Each entry says in `o` how many bytes were logged before it, so a log has
-- as many as were ever logged without those before its oldest entry, whatever else has trimmed it.
--
-- Returns a lower bound of the `o` of the oldest entry, and the map from there on, or nil where the map stays as it is.
local function trimBytes(events, map, least, newest, begun)
  local id, offset, rest = placeBehind(map, least)
  if not id or not before(id, newest) then id, offset, rest = newest, begun, nil end
  redis.call('XTRIM', events, 'MINID', id)
  return offset, rest
end
