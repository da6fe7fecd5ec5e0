-- Stores an event of one of the SDK's transports.
--
-- KEYS: 1 log of the session (a stream), 2 where its streams end (a hash: "<number>:<log id>", and in the field of no name
--       "<bytes that were ever logged>:<`o` of the oldest event, when it was last looked at>"), 3 when (a sorted set of
--       streams, by ms)
-- ARGV: 1 stream, which has a name, 2 message, 3 token of this event, 4 '1': it may have been carried out already, 5 most
--       events, 6 how long they are kept (ms), 7 most bytes, of messages and 100 for each event, or '' for any
--
-- Returns number and log id. The new event stays in any case, so that one that is bigger than all of it can be read once.

-- As commit/trim.lua does: each event says in `o` how many bytes there were before it. Returns o(oldest).
local function trimBytes(log, bytes, from, most, new, begun)
  if bytes - from <= most then return from end
  local least = bytes - most + math.min(most / 8, 1048576)
  local after, count = '-', 1
  while true do
    local chunk = redis.call('XRANGE', log, after, '(' .. new, 'COUNT', count)
    for _, item in ipairs(chunk) do
      local offset = item[2][1] == 'o' and tonumber(item[2][2]) or 0
      if after == '-' and bytes - offset <= most then return offset end
      if offset >= least then
        redis.call('XTRIM', log, 'MINID', item[1])
        return offset
      end
      after = '(' .. item[1]
    end
    if #chunk == 0 then
      redis.call('XTRIM', log, 'MINID', new)
      return begun
    end
    count = math.min(count * 2, 64)
  end
end

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
local begun = tonumber(logged)
local bytes = begun + #ARGV[2] + ENTRY_BYTES
local fields = { 'o', logged, 's', stream, 'n', n, 'k', token, 'm', ARGV[2] }
local id = redis.call('XADD', log, 'MAXLEN', ARGV[5], '*', unpack(fields))
if ARGV[7] ~= '' then from = trimBytes(log, bytes, tonumber(from), tonumber(ARGV[7]), id, begun) end
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
