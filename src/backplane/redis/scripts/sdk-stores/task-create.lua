-- Stores a task.
--
-- KEYS: 1 task (a hash)
-- ARGV: 1 how long it is kept (ms), then its fields: name, value…
--
-- Returns 1. Ids are random, so a task that exists was stored by an earlier run whose reply was lost.

if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
