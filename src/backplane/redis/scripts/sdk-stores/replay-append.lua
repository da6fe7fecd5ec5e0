-- Stores an event of one of the SDK's transports.
--
-- KEYS: 1 log of the session (a stream), 2 where its streams end (a hash: "<number>:<log id>", and in the field of no name
--       "<bytes that were ever logged>:<a lower bound of the `o` of the oldest event>"; for REPLAY_MAP see replay-map.lua),
--       3 when (a sorted set of streams, by ms)
-- ARGV: 1 stream, which has a name, 2 message, 3 token of this event, 4 '1': it may have been carried out already, 5 most
--       events, 6 how long they are kept (ms), 7 most bytes, of messages and 100 for each event, or '' for any
--
-- Returns number and log id. The new event stays in any case, so that one that is bigger than all of it can be read once.

--- @include "log-entry"
--- @include "log-map"
--- @include "log-trim"
--- @include "replay-map"
--- @include "stored-values"

local log, ends, ages, stream, token, most = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3], tonumber(ARGV[7])

-- Where a first try whose reply was lost has put the event, if that is among the latest.
local function repeated()
  local to, looked = '+', 0
  for _ = 1, 100 do
    local item = redis.call('XREVRANGE', log, to, '-', 'COUNT', 1)[1]
    if not item or looked > 4194304 then return nil end
    local e = entry(item[2])
    if e.k == token then return { e.n, item[1] } end
    to, looked = '(' .. item[1], looked + #e.m
  end
end

if ARGV[4] == '1' then
  local done = repeated()
  if done then return done end
end
local known = redis.call('HMGET', ends, stream, '')
local n = position(known[1]) + 1
local logged, from = split(known[2] or '0:0', ':')
local begun = tonumber(logged)
local bytes = begun + #ARGV[2] + ENTRY_BYTES
local fields = { 'o', logged, 's', stream, 'n', n, 'k', token, 'm', ARGV[2] }
local id = redis.call('XADD', log, 'MAXLEN', ARGV[5], '*', unpack(fields))

-- As in commit/write-log.lua.
local large = #ARGV[2] >= LARGE_BYTES
if large or (most and math.floor(begun * 64 / most) < math.floor(bytes * 64 / most)) then
  local map = redis.call('HGET', ends, REPLAY_MAP)
  redis.call('HSET', ends, REPLAY_MAP, mapped(map, id, begun, large and nameInMap(stream) or '*', 0))
end
if most and bytes - from > most then
  local map
  from, map = trimBytes(log, redis.call('HGET', ends, REPLAY_MAP), bytes - most, id, begun)
  if map then redis.call('HSET', ends, REPLAY_MAP, map) end
end

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
