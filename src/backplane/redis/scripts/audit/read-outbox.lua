-- Reads entries of an outbox.
--
-- KEYS: 1 outbox, 2 its counts
-- ARGV: 1 archiver, 2 mark of the checkpoint, 3 the place of the entry after which to begin or '', 4 its log id or '', 5 its session or '',
--       6 most entries, 7 bytes after which the page ends
--
-- Returns 'lost' | 'changed' | { { place, { field, value ... } } ... }

--- @include "audit/checkpoint"

local outbox, counts = KEYS[1], KEYS[2]
local refusal = refusalOf(counts, ARGV[1], ARGV[2])
if refusal then return refusal end
if ARGV[3] ~= '' and not hasEntry(outbox, ARGV[3], ARGV[4], ARGV[5]) then return 'changed' end

local from, most, mostBytes = ARGV[3] == '' and '-' or '(' .. ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[7])
local page, bytes, chunk = {}, 0, chunkOf(counts)
while #page < most do
  local items = redis.call('XRANGE', outbox, from, '+', 'COUNT', math.min(chunk, most - #page))
  for _, item in ipairs(items) do
    page[#page + 1] = item
    for _, value in ipairs(item[2]) do bytes = bytes + #value end
    if bytes >= mostBytes then return page end
  end
  if #items < chunk then return page end
  from = '(' .. items[#items][1]
end
return page
