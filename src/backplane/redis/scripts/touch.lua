-- Prolongs the life of a session with open streams or running calls, and stores how far its connections have written.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 session TTL (ms), 3 TTL before `initialized` (ms), 4 longest time events are kept (ms),
--       then per stream that a connection follows: <stream> <token> <number> <log id>,
--       and per stream whose requests the node runs: <stream> '' 0 ''
--
-- Returns { 'gone' } | { 'ok', last number, held, last number, held ... }. "held" is '1' if the connection holds the stream, '' if it
-- does not, and 'e' if the stream has ended. For a stream whose requests the node runs it says whether the node still is the executor.

--- @include "lifetimes"
--- @include "session-keys"
--- @include "stored-values"
--- @include "streams-hash"

local record, streams, events = sessionKeys()
local on = redis.call('HMGET', record, 'rev', 'on', 'called')
if not on[1] then return { 'gone' } end

local ttl = tonumber((on[2] == '1' or on[3] == '1') and ARGV[2] or ARGV[3])
expireIn(record, ttl)
expireIn(streams, ttl)
if ttl < tonumber(ARGV[4]) then expireLog(events, ttl) end

local reply = { 'ok' }
for at = 5, #ARGV, 4 do
  local stream, token, n, id = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local state = redis.call('HMGET', streams, 'n:' .. stream, 'h:' .. stream, 'w:' .. stream)
  local held = state[2] == ARGV[1] .. ':' .. token
  local executor = redis.call('HGET', streams, 'x:' .. stream)
  -- A failover may have lost that this node has begun the requests. Its next message begins them again.
  if token == '' then held = (executorOf(executor)) == ARGV[1] end
  local ended = stream ~= STANDALONE and not executor
  if held and stream == STANDALONE and n > position(state[3]) then
    redis.call('HSET', streams, 'w:' .. stream, n .. ':' .. id)
  end
  reply[#reply + 1] = tostring((position(state[1])))
  reply[#reply + 1] = ended and 'e' or (held and '1' or '')
end
return reply
