-- A map of a session's log: where its large messages are, and how many bytes were logged up to some places. With it a script
-- finds a place, and passes over messages that it does not look for, without reading what is large.
--
-- One text, a line for each place in the order of the log: "<log id> <o> <stream> <end>".
--   o       how many bytes were logged before the entry
--   stream  of a large message: the stream that it belongs to, or - if it belongs to none; of any other: *
--   end     1 if the stream ends with it, 0 if not, i if the client sent it

-- A message of so many bytes is large.
local LARGE_BYTES = 131072
-- A bounded log of large messages alone has less than half of so many bytes of map.
local MAP_BYTES = 65536

-- Names of streams are words there. Where two become the same word, an entry more is looked at.
local function nameInMap(stream) return (string.gsub(stream, '%s', '_')) end

-- The map with one place more. The oldest places are forgotten before it grows too long.
local function mapped(map, id, offset, stream, ends)
  local text = (map or '') .. table.concat({ id, string.format('%.0f', offset), stream, ends }, ' ') .. '\n'
  if #text <= MAP_BYTES then return text end
  local at = string.find(text, '\n', MAP_BYTES / 2, true)
  return string.sub(text, at + 1)
end

-- The first place with at least `least` bytes before it -> its log id, its `o`, and the map from there on.
local function placeBehind(map, least)
  for at, id, offset in string.gmatch(map or '', '()(%S+) (%d+) %S+ %S+\n') do
    if tonumber(offset) >= least then return id, tonumber(offset), string.sub(map, at) end
  end
end
