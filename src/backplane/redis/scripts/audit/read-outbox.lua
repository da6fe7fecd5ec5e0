-- Reads entries of an outbox in which much waits. If little waits, a node reads it with plain commands, which take Redis a fifth of the
-- time.
--
-- KEYS: 1 outbox
-- ARGV: 1 the place at which to begin, or '-', 2 most entries, 3 bytes after which the page ends, 4 '1' if the first entry does not count
--       for that, else ''
--
-- Returns { { place, { field, value ... } } ... }. It reads one entry at a time, since one entry may be as large as a page.

local from, most, bytes, page = ARGV[1], tonumber(ARGV[2]), 0, {}
while #page < most and bytes < tonumber(ARGV[3]) do
  local item = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if not item then break end
  page[#page + 1], from = item, '(' .. item[1]
  if #page > 1 or ARGV[4] == '' then
    for _, value in ipairs(item[2]) do bytes = bytes + #value end
  end
end
return page
