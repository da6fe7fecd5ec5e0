-- Makes a connection the holder of a stream, after checking the client's cursor against the log.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 principal, 3 stream, 4 token, 5 cursor number or '', 6 cursor log id, 7 refuse when held ('1'|''),
--       8 a holder ("<node>:<token>") whose node is dead, or '', 9 channel prefix, 10 session id,
--       11 session TTL (ms), 12 TTL before `initialized` (ms), 13 when the node of that holder was found dead (ms) or '',
--       14 longest time events are kept (ms), 15 least time between two log entries about resumed streams (ms),
--       16 the setting of the outbox (see audit/outbox.lua) or '', 17 a log id up to which an earlier run has looked, or ''
--
-- Returns { 'gone' } | { 'conflict', holder } | { 'unknown' } | { 'trimmed' } | { 'ended' } | { 'further', log id }
--       | { 'attached', number, log id, protocol version, previous holder or '', executor or '', it has begun ('1'|''),
--           the trace of its requests, if they have one }
-- A repeat after a lost reply finds the connection as the holder. That is no conflict, and the previous holder is still the
-- connection from which the stream was taken. If another connection has taken the stream since, the repeat changes nothing,
-- and the connection finds out when it reads.
-- With 'further' the script has changed nothing, because one step may look at a part of the log only. The node runs it again to
-- look further.

--- @include "audit/outbox"
--- @include "clock"
--- @include "dead-nodes"
--- @include "lifetimes"
--- @include "log-entry"
--- @include "log-scan"
--- @include "moved-log"
--- @include "session-keys"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"
--- @include "young-log"

local function setPredecessors(streams, stream, list)
  if #list == 0 then redis.call('HDEL', streams, 'b:' .. stream)
  else redis.call('HSET', streams, 'b:' .. stream, table.concat(list, ' ', 1, math.min(#list, PREDECESSORS))) end
end

local record, streams, events = sessionKeys()
local node, stream, token = ARGV[1], ARGV[3], ARGV[4]
local cursor, cursorId = tonumber(ARGV[5]), ARGV[6]

local head = redis.call('HMGET', record, 'pr', 'pv', 'on', 'called')
if not head[1] or head[1] ~= ARGV[2] then return { 'gone' } end
local elsewhere = logElsewhere(streams, events)
if elsewhere then return elsewhere end

local state = redis.call('HMGET', streams, 'n:' .. stream, 'h:' .. stream, 'w:' .. stream, 'x:' .. stream,
  'b:' .. stream, 'first', 'map', 'o:' .. stream)
local last, lastId = position(state[1])
local first, map = state[6], state[7]
local me = node .. ':' .. token
local holder = state[2]
local takenFrom = predecessors(state[5])
-- A repeat may find that another connection has taken the stream since. The stream stays with that connection.
local superseded = false
for at, connection in ipairs(takenFrom) do
  if connection == me then superseded, holder = true, takenFrom[at + 1] end
end
if holder == me then holder = takenFrom[1]
elseif holder and not superseded then table.insert(takenFrom, 1, holder) end
local open = stream == STANDALONE or state[4]

local function isDead(name)
  return name == ARGV[8] and not isStale(ARGV[13])
end
if ARGV[7] == '1' and not superseded and holder and not isDead(holder) then return { 'conflict', holder } end

local n, id
if cursor then n, id = cursor, cursorId
else n, id = position(state[3]) end
if not open then
  -- Nothing comes after the end of the stream. If the cursor is the end, there is no need to look through the log.
  local of, ends = entryAt(events, id, first, map)
  if of == stream and ends then return { 'ended' } end
end
local after, looked, more = scanStream(events, stream, ARGV[17] == '' and id or ARGV[17], 1, open and lastId or nil, first, map)
local found = after[1]
if not found and more then return { 'further', looked } end
if not cursor then
  -- A client without a cursor has no promise of completeness. It begins with the messages that are left, or after the last one.
  if found then n = tonumber(found.n) - 1
  elseif open then n, id = last, lastId
  else n = last end
else
  if found then
    -- If the first message found does not have the next number, the messages between are gone. If its number is not above the
    -- cursor's, a failover has lost the end of the log since the client got the cursor. Then this message is new, and is shown.
    local first = tonumber(found.n)
    if first > n + 1 then return { 'trimmed' } end
    if first <= n then n = first - 1 end
  elseif open then
    -- A failover may have lost the message that the cursor names. If another one got its number and is gone from the log, the
    -- client has missed that one.
    if last > n or (last == n and n > 0 and before(id, lastId)) then return { 'trimmed' } end
    -- The cursor is ahead, because a failover has lost the end of the log. The client goes on from the present end, because the
    -- next message may get a lower log id than the cursor's.
    if last < n then n, id = last, lastId end
  else
    -- The stream has ended, and nothing comes after the cursor. The cursor is valid if it names an entry of the stream.
    if entryAt(events, id, first, map) ~= stream then return { 'unknown' } end
  end
  -- The only entry after the cursor may be the end of a cancelled request, which has no message.
  if not open and (not found or not after[#after].m) then return { 'ended' } end
end

local outbox
if cursor and ARGV[16] ~= '' then
  outbox = openOutbox(ARGV[16], ARGV[10])
  if outbox.err then return outbox end
end

local previous = holder or ''
if open and not superseded then
  redis.call('HSET', streams, 'h:' .. stream, me)
  -- The former holder reports no more how far it has shown the stream, if this connection goes on after a cursor of its own.
  if stream == STANDALONE and state[2] and state[2] ~= me then redis.call('HSET', streams, 'm:' .. stream, last) end
  setPredecessors(streams, stream, takenFrom)
  if state[2] and state[2] ~= me then
    -- The script tells the former holder itself, because this node may die before it could do so.
    local itsNode, connection = split(state[2], ':')
    if itsNode ~= node then tell(ARGV[9], itsNode, table.concat({ 'taken', ARGV[10], stream, connection }, ' ')) end
  end
  if stream == STANDALONE then
    tellNodes(ARGV[9], redis.call('HGET', streams, 'reps'), nil, 'followed ' .. ARGV[10] .. ' ' .. node)
  end
end
local ttl = tonumber((head[3] == '1' or head[4] == '1') and ARGV[11] or ARGV[12])
local now = timeNow()
redis.call('HSET', record, 'seen', now)
expireIn(record, ttl)
expireIn(streams, ttl)
if ttl < tonumber(ARGV[14]) then expireLog(events, ttl) end

-- A resumed stream is logged if the session still has a log. The entry does not prolong the life of the log. Such entries are
-- limited in number, so that clients which come back all the time do not push out the messages that they come back for.
if cursor and state[2] ~= me and not superseded and onLog('EXISTS', events) == 1 then
  local noted = redis.call('HMGET', streams, 'res', 'bytes')
  local skipped, since = position(noted[1])
  if tonumber(now) - tonumber((split(since, '-'))) >= tonumber(ARGV[15]) then
    local fields = { 'o', noted[2] or '0', 'k', 'stream.resumed', 'by', node, 's', stream }
    if skipped > 0 then fields[9] = 'x' fields[10] = skipped end
    if first and moveFirst(events) then
      redis.call('HDEL', streams, 'first')
      first = nil
    end
    if not first then
      local logged = redis.call('XADD', events, '*', unpack(fields))
      if outbox then
        outbox.copy(logged, nil, unpack(fields, 3))
        outbox.close()
      end
    end
    redis.call('HSET', streams, 'bytes', whole(noted[2]) + ENTRY_BYTES, 'res', '0:' .. now .. '-0')
  else
    redis.call('HSET', streams, 'res', (skipped + 1) .. ':' .. since)
  end
end
wake()
local executor, begun = executorOf(state[4])
return { 'attached', tostring(n), id, head[2], previous, executor, begun and '1' or '', state[8] or nil }
