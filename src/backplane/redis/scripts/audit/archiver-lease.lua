-- Takes, renews or gives up the lease of the archiver.
--
-- KEYS: 1 the lease
-- ARGV: 1 archiver, 2 how long the lease lasts (ms), or '' to give it up
--
-- Returns 1, or 0 if another archiver has the lease.

local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
-- A full Redis refuses only the first write of a script, and not this one.
redis.call('DEL', KEYS[1])
if ARGV[2] ~= '' then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
