-- Reads the broadcasts after those that a node knows.
--
-- KEYS: 1 log of broadcasts
-- ARGV: 1 log id up to which they are known, or '' for none yet, 2 without one: from how long ago (ms)
--
-- Returns { log id, time, entries, more }. The script has read up to the log id, which is '0-0' for an empty log. The time is
-- this server's (ms), by which log ids are made. An entry is a log id and fields. `more` is '1' if there may be more entries,
-- else ''.

--- @include "clock"

local PAGE = 32
local log, after = KEYS[1], ARGV[1]
local latest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local now = timeNow()
if not latest then return { '0-0', now, {} } end
local from = after == '' and string.format('%.0f', now - ARGV[2]) or '(' .. after
local entries = redis.call('XRANGE', log, from, '+', 'COUNT', PAGE)
local reached = #entries == PAGE and entries[PAGE][1] or latest[1]
return { reached, now, entries, #entries == PAGE and '1' or '' }
