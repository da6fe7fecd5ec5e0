-- Drops the oldest entries of a log that has grown beyond `most` bytes, but none of this step. `bytes` is the number of
-- bytes that were ever logged; each entry says in `o` how many there were before it, so the log has bytes - o(oldest),
-- whatever else has trimmed it. The log's map says where to cut. Returns a lower bound of o(oldest), as `from` is.
local begun = bytes
local function trimBytes(from, most)
  if bytes - from <= most then return from end
  local id, offset, map = placeBehind(get('map'), bytes - most)
  if not id or not before(id, logged) then id, offset, map = logged, begun, nil end
  redis.call('XTRIM', events, 'MINID', id)
  if map then set('map', map) end
  return offset
end
