-- Stores an event of one of the SDK's transports.
--
-- KEYS: 1 log of the session (a stream), 2 where its streams end (a hash: "<number>:<log id>"), 3 when (a sorted set of
--       streams, by ms)
-- ARGV: 1 stream, 2 message, 3 token of this event, 4 '1': it may have been carried out already, 5 most events, 6 how long
--       they are kept (ms)
--
-- Returns number and log id.
local log, ends, ages, stream, token = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3]
if ARGV[4] == '1' then
  for _, item in ipairs(redis.call('XREVRANGE', log, '+', '-', 'COUNT', 100)) do
    local e = entry(item[2])
    if e.k == token then return { e.n, item[1] } end
  end
end
local n = position(redis.call('HGET', ends, stream)) + 1
local id = redis.call('XADD', log, 'MAXLEN', ARGV[5], '*', 's', stream, 'n', n, 'k', token, 'm', ARGV[2])
redis.call('HSET', ends, stream, n .. ':' .. id)
local now = split(id, '-')
local oldest = string.format('%.0f', now - ARGV[6])
redis.call('XTRIM', log, 'MINID', oldest)
redis.call('ZADD', ages, now, stream)
-- A few at a time: each POST is a stream of its own.
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ages, '-inf', '(' .. oldest, 'LIMIT', 0, 10)) do
  redis.call('HDEL', ends, old)
  redis.call('ZREM', ages, old)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[6]) end
return { tostring(n), id }
