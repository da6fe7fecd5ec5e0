-- Stores an event of one of the SDK's transports.
--
-- KEYS: 1 log of the session (a stream), 2 where its streams end (a hash: "<number>:<log id>", and in the field of no name
--       "<bytes that were ever logged>:<`o` of the oldest event, when it was last looked at>"), 3 when (a sorted set of
--       streams, by ms)
-- ARGV: 1 stream, which has a name, 2 message, 3 token of this event, 4 '1': it may have been carried out already, 5 most
--       events, 6 how long they are kept (ms), 7 most bytes, of messages and 100 for each event, or '' for any
--
-- Returns number and log id. The new event stays in any case, so that one that is bigger than all of it can be read once.
local log, ends, ages, stream, token = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3]
if ARGV[4] == '1' then
  for _, item in ipairs(redis.call('XREVRANGE', log, '+', '-', 'COUNT', 100)) do
    local e = entry(item[2])
    if e.k == token then return { e.n, item[1] } end
  end
end
local known = redis.call('HMGET', ends, stream, '')
local n = position(known[1]) + 1
local logged, from = split(known[2] or '0:0', ':')
local bytes = tonumber(logged) + #ARGV[2] + ENTRY_BYTES
local fields = { 's', stream, 'n', n, 'k', token, 'o', logged, 'm', ARGV[2] }
local id = redis.call('XADD', log, 'MAXLEN', ARGV[5], '*', unpack(fields))
if ARGV[7] ~= '' then from = trimBytes(log, bytes, tonumber(from), tonumber(ARGV[7]), id) end
redis.call('HSET', ends, stream, n .. ':' .. id, '', string.format('%.0f:%.0f', bytes, from))
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
