-- Reads broadcasts on.
--
-- KEYS: 1 log of broadcasts
-- ARGV: 1 log id up to which they are known, or '' for none yet, 2 without one: from how long ago (ms)
--
-- Returns the log id of the latest ('0-0': there is none), this server's time (ms), by which log ids are made, and the
-- entries after the given one: log id, fields.
local log, after = KEYS[1], ARGV[1]
local latest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if not latest then return { '0-0', string.format('%.0f', now), {} } end
local from = after == '' and string.format('%.0f', now - ARGV[2]) or '(' .. after
return { latest[1], string.format('%.0f', now), redis.call('XRANGE', log, from, '+') }
