-- Makes an archiver the only one that an outbox obeys.
--
-- KEYS: 1 counts of the outbox
-- ARGV: 1 archiver
--
-- Returns { mark, ordinal } of the checkpoint. Before the first acknowledgment they are '' and '0'.

-- A full Redis refuses only the first write of a script, and not this one. What frees memory has to work then.
redis.call('HDEL', KEYS[1], 'a')
redis.call('HSET', KEYS[1], 'a', ARGV[1])
local stored = redis.call('HMGET', KEYS[1], 'm', 'n')
return { stored[1] or '', stored[2] or '0' }
