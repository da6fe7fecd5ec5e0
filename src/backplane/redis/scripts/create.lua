-- Stores a new session with the first entries of its log.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 now (ms), 3 TTL (ms), 4 longest time events are kept (ms), 5 stream of `initialize`,
--       6 the request as it came in, or '': it is to come, 7 #record fields, field, value ..., then per message of the server:
--       <stream> <asks 1|''> <message>; the last one is the answer and ends its stream.
--
-- Returns '' when the id is taken, else { log id of the request, log id of each message ... }. Repeating it
-- (a lost reply) finds the session as its own work and returns the same.
local record, streams, events = KEYS[1], KEYS[2], KEYS[3]
local node, stream = ARGV[1], ARGV[5]
local mark = node .. ':' .. stream

if redis.call('EXISTS', record) == 1 then
  if redis.call('HGET', record, 'born') ~= mark then return '' end
  local ids = {}
  for _, item in ipairs(redis.call('XRANGE', events, '-', '+')) do
    if not entry(item[2]).k then ids[#ids + 1] = item[1] end
  end
  return ids
end

local fields = tonumber(ARGV[7])
-- First: a full Redis refuses it, but once a script has written anything, DEL included, it refuses nothing more.
redis.call('HSET', record, 'born', mark, unpack(ARGV, 8, 7 + fields))
-- What an expired session of this id may have left must not become part of this one.
redis.call('DEL', streams, events)
redis.call('XADD', events, '*', 'k', 'session.created', 'by', node)
local ids, bytes = {}, ENTRY_BYTES
if ARGV[6] ~= '' then
  ids[1] = redis.call('XADD', events, '*', 'o', bytes, 's', stream, 'm', ARGV[6])
  bytes = bytes + ENTRY_BYTES + #ARGV[6]
end
local numbers = {}
for at = 8 + fields, #ARGV, 3 do
  local target, asks, message = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local n = (numbers[target] or 0) + 1
  numbers[target] = n
  local entryFields = { 'o', bytes, 's', target, 'n', n, 'm', message }
  bytes = bytes + ENTRY_BYTES + #message
  if at + 3 > #ARGV then entryFields[9] = 'e' entryFields[10] = '1' end
  if asks == '1' then entryFields[#entryFields + 1] = 'q' entryFields[#entryFields + 1] = node end
  ids[#ids + 1] = redis.call('XADD', events, '*', unpack(entryFields))
  if target == STANDALONE then redis.call('HSET', streams, 'n:' .. STANDALONE, n .. ':' .. ids[#ids]) end
end
redis.call('HSET', streams, 'reps', node, 'bytes', bytes)
expireIn(record, tonumber(ARGV[3]))
expireIn(streams, tonumber(ARGV[3]))
expireIn(events, math.min(tonumber(ARGV[3]), tonumber(ARGV[4])))
return ids
