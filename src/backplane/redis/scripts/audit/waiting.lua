-- Says how much waits in an outbox.
--
-- KEYS: 1 outbox, 2 its counts
-- ARGV: none
--
-- Returns { bytes, entries, place of the first entry or '' }.

local bytes, entries = redis.call('HGET', KEYS[2], 'b') or '0', redis.call('XLEN', KEYS[1])
if entries == 0 then return { bytes, 0, '' } end
return { bytes, entries, redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1][1] }
