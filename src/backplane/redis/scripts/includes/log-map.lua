-- A map of a session's log. It says where the large messages are, and how many bytes were logged before some entries. With it,
-- a script finds where to trim the log, and passes over large messages of other streams without reading them.
--
-- The map is one text. It has a line for each entry that it knows, in the order of the log: "<log id> <o> <stream> <end>".
--   o       how many bytes were logged before the entry
--   stream  the stream of a large message, - if a large message belongs to none, * if the message is not large
--   end     1 if the entry ends its stream, 0 if it does not, i if the client sent the message

-- A message is large from this size on.
local LARGE_BYTES = 131072

-- Makes one word of the name of a stream. If two streams become the same word, a script reads a large message in vain, and no
-- harm is done.
local function nameInMap(stream) return (string.gsub(stream, '%s', '_')) end

-- Returns the map with one more entry. It drops the oldest lines of a map that grows too long.
local function mapped(map, id, offset, stream, ends)
  -- The map of a bounded log takes less than half of this, even if all messages are large.
  local MAP_BYTES = 65536
  local text = (map or '') .. table.concat({ id, string.format('%.0f', offset), stream, ends }, ' ') .. '\n'
  if #text <= MAP_BYTES then return text end
  local at = string.find(text, '\n', MAP_BYTES / 2, true)
  return string.sub(text, at + 1)
end

-- Finds the first entry of the map with at least `least` bytes before it. Returns its log id, its `o`, and the map from that entry
-- on; nothing if the map has no such entry.
local function placeBehind(map, least)
  for at, id, offset in string.gmatch(map or '', '()(%S+) (%d+) %S+ %S+\n') do
    if tonumber(offset) >= least then return id, tonumber(offset), string.sub(map, at) end
  end
end
