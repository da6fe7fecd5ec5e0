-- Reads the log after a log id: the messages of all streams, in both directions.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 the log id after which to begin, 2 most entries, 3 bytes of messages after which the page ends
--
-- Returns { { log id, { field, value ... } } ... }. An empty list says that there are no more entries. The script reads one entry at a
-- time, since one message may be as large as a page.

--- @include "log-scan"
--- @include "moved-log"
--- @include "session-keys"

local _, streams, events = sessionKeys()
local elsewhere = logElsewhere(streams, events)
if elsewhere then return elsewhere end
local from, most, bytes, page = ARGV[1], tonumber(ARGV[2]), 0, {}
local isFirst = redis.call('HEXISTS', streams, 'first') == 1
local later = isFirst and firstAfter(events, from)

while #page < most and bytes < tonumber(ARGV[3]) do
  local item = later and later[#page + 1]
  if not later then item = (onLog('XRANGE', events, '(' .. from, '+', 'COUNT', 1) or {})[1] end
  if not item then break end
  page[#page + 1], from = item, item[1]
  for _, value in ipairs(item[2]) do bytes = bytes + #value end
end
return page
