-- Stores a new session with the first entries of its log.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 TTL (ms), 3 longest time events are kept (ms), 4 stream of `initialize`,
--       5 the request as it came in, or '' if it comes later, 6 the setting of the outbox (see audit/outbox.lua) or '', 7 session id,
--       8 #record fields, field, value ..., then per message of the server:
--       <stream> <asks 1|''> <message>; the last one is the answer and ends its stream.
--
-- Returns '' if the id is taken, 'full' if the outbox refuses the session, else { log id of the request, log id of each message ... }. A repeat after a lost reply finds
-- its mark in the field `born` of the record, changes nothing, and returns the same.

--- @include "audit/created-entry"
--- @include "audit/outbox"
--- @include "clock"
--- @include "lifetimes"
--- @include "log-entry"
--- @include "session-keys"
--- @include "streams-hash"
--- @include "young-log"

local record, streams, events = sessionKeys()
local node, stream = ARGV[1], ARGV[4]
local mark = node .. ':' .. stream

local born = redis.call('HGET', record, 'born')
if born then
  if born ~= mark then return '' end
  local ids = {}
  local isFirst = redis.call('HEXISTS', streams, 'first') == 1
  for _, item in ipairs(isFirst and firstEntries(events) or redis.call('XRANGE', events, '-', '+')) do
    if not entry(item[2]).k then ids[#ids + 1] = item[1] end
  end
  return ids
end

local outbox
if ARGV[6] ~= '' then
  outbox = openOutbox(ARGV[6], ARGV[7])
  if outbox.err then return outbox end
  if outbox.isFull then return 'full' end
end

local fields = tonumber(ARGV[8])
local ms = timeNow()
-- This write comes first. A full Redis refuses only the first write of a script. If that were a DEL, it would refuse nothing.
redis.call('HSET', record, 'born', mark, 'at', ms, 'seen', ms, unpack(ARGV, 9, 8 + fields))
-- An expired session of this id may have left these keys. They must not become part of the new session.
redis.call('DEL', streams)
redis.call('DEL', events)

if outbox then endFormer(outbox) end

local entries, bytes, count, lastId = {}, 0, 0, nil
local function log(message, ...)
  lastId = ms .. '-' .. count
  count = count + 1
  entries[count] = { lastId, message, 'o', bytes, ... }
  bytes = bytes + ENTRY_BYTES + (message and #message or 0)
  if outbox and message then copyWithMessage(outbox, lastId, message, ...) end
  return lastId
end

log(nil, 'k', 'session.created', 'by', node)
if outbox then copyCreated(outbox, lastId, node, fields) end
local ids, numbers, shown = {}, {}, nil
if ARGV[5] ~= '' then ids[1] = log(ARGV[5], 's', stream) end
for at = 9 + fields, #ARGV, 3 do
  local target, asks, message = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local n = (numbers[target] or 0) + 1
  numbers[target] = n
  local more = {}
  if at + 3 > #ARGV then more = { 'e', '1' } end
  if asks == '1' then more[#more + 1] = 'q' more[#more + 1] = node end
  ids[#ids + 1] = log(message, 's', target, 'n', n, unpack(more))
  if target == STANDALONE then shown = n .. ':' .. lastId end
end
local lives = tonumber(ms) + math.min(tonumber(ARGV[2]), tonumber(ARGV[3]))
redis.call('HSET', streams, 'reps', node, 'bytes', bytes, 'lives', string.format('%.0f', lives))
-- A script that reads a string reads all of it. So a large log is a stream from the start.
if bytes > FIRST_BYTES then
  for _, item in ipairs(entries) do
    if item[2] then item[#item + 1] = 'm' item[#item + 1] = item[2] end
    redis.call('XADD', events, item[1], unpack(item, 3))
  end
else
  for at, item in ipairs(entries) do entries[at] = firstEntry(unpack(item)) end
  redis.call('SET', events, table.concat(entries))
  redis.call('HSET', streams, 'first', count .. ':' .. lastId)
end
if outbox then outbox.close() end
if shown then redis.call('HSET', streams, 'n:' .. STANDALONE, shown) end
expireIn(record, tonumber(ARGV[2]))
expireIn(streams, tonumber(ARGV[2]))
expireIn(events, math.min(tonumber(ARGV[2]), tonumber(ARGV[3])))
return ids
