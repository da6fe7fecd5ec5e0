-- Stores the state of chains that begin. A session that has a state keeps it.
--
-- KEYS: 1 chains of the outbox, 2 its counts
-- ARGV: 1 archiver, then session and state of each chain
--
-- Returns 1, or 0 if another archiver has claimed the outbox.

if redis.call('HGET', KEYS[2], 'a') ~= ARGV[1] then return 0 end
-- A full Redis refuses only the first write of a script, and not this one. No session has this name.
redis.call('HDEL', KEYS[1], ' ')
for at = 2, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[1], ARGV[at]) == 0 then redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
end
return 1
