-- Reads the broadcasts after those that a node knows.
--
-- KEYS: 1 log of broadcasts
-- ARGV: 1 log id up to which they are known, or '' for none yet, 2 without one: from how long ago (ms)
--
-- Returns the log id up to which the script has read ('0-0' for an empty log), the time of this server (ms), by which log ids are made,
-- a list of entries (log id, fields), and '1' if there may be more entries, else ''.

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
