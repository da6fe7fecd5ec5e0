-- Reads the messages of a stream after a position.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 stream, 2 number, 3 log id of the reader's position, 4 bytes of messages after which the page ends,
--       5 the reader as "<node>:<token>", or ''
--
-- Returns { 'gone' } | { 'trimmed' } | { 'lost' } | { 'ok', scanned up to, more ('1'|''), open ('1'|''), restart number or '',
--   'log id number has message (1|0) end (1|0) asker', message ... }
-- A restart number says that a failover has lost the end of the log, and from which number the reader counts on. With 'lost', the
-- reader does not hold the stream any more.

--- @include "log-scan"
--- @include "moved-log"
--- @include "session-keys"
--- @include "stored-values"
--- @include "streams-hash"

local record, streams, events = sessionKeys()
local stream, n = ARGV[1], tonumber(ARGV[2])

if redis.call('EXISTS', record) == 0 then return { 'gone' } end
local elsewhere = logElsewhere(streams, events)
if elsewhere then return elsewhere end
local state = redis.call('HMGET', streams, 'n:' .. stream, 'x:' .. stream, 'h:' .. stream, 'first', 'map')
local last, lastId = position(state[1])
local open = stream == STANDALONE or state[2]
-- Either another connection holds the stream now, and the reader was not told. Or a failover has lost the claim of the reader. Then no
-- node would tell it of new messages, so its client has to reconnect.
if open and ARGV[5] ~= '' and state[3] ~= ARGV[5] then return { 'lost' } end

local found, scanned, more = scanStream(events, stream, ARGV[3], tonumber(ARGV[4]), open and lastId or nil, state[4],
  state[5])
local restart = ''
if found[1] then
  local first = tonumber(found[1].n)
  if first > n + 1 then return { 'trimmed' } end
  if first <= n then restart = tostring(first - 1) end
elseif open and not more then
  if last > n or (last == n and n > 0 and before(ARGV[3], lastId)) then return { 'trimmed' } end
  if last < n then restart, scanned = tostring(last), lastId end
end

-- The node parses two texts of an entry in a third of the time that a list of each entry takes.
local reply, length = { 'ok', scanned, more and '1' or '', open and '1' or '', restart }, 5
for _, item in ipairs(found) do
  local marks = (item.m and ' 1 ' or ' 0 ') .. (item.e == '1' and '1 ' or '0 ')
  reply[length + 1] = item.id .. ' ' .. item.n .. marks .. (item.q or '')
  reply[length + 2] = item.m or ''
  length = length + 2
end
return reply
