-- Stores an event of one of the SDK's transports.
--
-- KEYS: 1 log of the session (a stream of Redis)
--       2 stream ends, a hash: the position "<number>:<log id>" of the last event of each stream; in the field with no name
--         "<bytes ever logged>:<a lower bound of the `o` of the oldest event>"; in the field REPLAY_MAP the map of the log
--       3 stream ages, a sorted set: the time (ms) of the last event of each stream
-- ARGV: 1 name of the stream, which is not empty, 2 message, 3 token of this event, 4 '1' if an earlier run may have stored the event,
--       5 most events, 6 how long events are kept (ms), 7 most bytes, of messages and 100 for each event, or '' for no bound
--
-- Returns the number and the log id of the event. The new event is never trimmed, so even an event beyond the bound can be read once.

--- @include "log-entry"
--- @include "log-map"
--- @include "log-trim"
--- @include "replay-map"
--- @include "stored-values"

local log, ends, ages, stream, token, most = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3], tonumber(ARGV[7])

-- Returns the number and the log id of the event if an earlier run, whose reply was lost, has stored it among the latest.
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

-- The map gets its lines as in commit/write-log.lua.
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
-- Each POST is a stream of its own. A few old streams are forgotten with each event.
for _, old in ipairs(redis.call('ZRANGEBYSCORE', ages, '-inf', '(' .. oldest, 'LIMIT', 0, 10)) do
  redis.call('HDEL', ends, old)
  redis.call('ZREM', ages, old)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[6]) end
return { tostring(n), id }
