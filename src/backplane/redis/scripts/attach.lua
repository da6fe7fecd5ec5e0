-- Makes a connection the holder of a stream, after checking the client's cursor against the log.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 principal, 3 stream, 4 token, 5 cursor number or '', 6 cursor log id, 7 refuse when held ('1'|''),
--       8 a holder ("<node>:<token>") that does not count, or '', 9 channel prefix, 10 session id,
--       11 session TTL (ms), 12 TTL before `initialized` (ms), 13 when the holder that does not count was found dead (ms) or '', 14 longest time events are kept (ms),
--       15 how often it is logged that the session's streams are resumed, at most (ms),
--       16 a log id up to which an earlier run has looked, or ''
--
-- Returns { 'gone' } | { 'conflict', holder } | { 'unknown' } | { 'trimmed' } | { 'ended' } | { 'further', log id }
--       | { 'attached', number, log id, protocol version, previous holder or '', executor or '', it has begun ('1'|'') }
-- Repeating it (a lost reply) finds the connection as the holder: that is no conflict, and the previous holder is still
-- the one that it took the stream from, and was told so. Where another connection has taken the stream since, the repeat
-- changes nothing: the connection finds out when it reads.
-- With 'further' it has changed nothing: it has to be run again to look further in the log than one step may.

--- @include "clock"
--- @include "dead-nodes"
--- @include "lifetimes"
--- @include "log-entry"
--- @include "log-scan"
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

local state = redis.call('HMGET', streams, 'n:' .. stream, 'h:' .. stream, 'w:' .. stream, 'x:' .. stream,
  'b:' .. stream, 'first', 'map')
local last, lastId = position(state[1])
local first, map = state[6], state[7]
local me = node .. ':' .. token
local holder = state[2]
local before = predecessors(state[5])
-- A repeat may find that another connection has taken the stream since: it stays with that one.
local superseded = false
for at, connection in ipairs(before) do
  if connection == me then superseded, holder = true, before[at + 1] end
end
if holder == me then holder = before[1]
elseif holder and not superseded then table.insert(before, 1, holder) end
local open = stream == STANDALONE or state[4]

local function isDead(name)
  return name == ARGV[8] and not isStale(ARGV[13])
end
if ARGV[7] == '1' and not superseded and holder and not isDead(holder) then return { 'conflict', holder } end

local n, id
if cursor then n, id = cursor, cursorId
else n, id = position(state[3]) end
if not open then
  -- Nothing comes after the end, so the log is not looked through for it.
  local of, ends = entryAt(events, id, first, map)
  if of == stream and ends then return { 'ended' } end
end
local after, looked, more = scanStream(events, stream, ARGV[16] == '' and id or ARGV[16], 1, open and lastId or nil, first, map)
local found = after[1]
if not found and more then return { 'further', looked } end
if not cursor then
  -- No promise of completeness was given out yet: begin with what is left.
  n = found and tonumber(found[2].n) - 1 or last
else
  if found then
    -- A first message with a bigger number: those between are gone. With a smaller one the log lost its end since
    -- the cursor was given out (failover), and this is a new message: it is shown.
    local first = tonumber(found[2].n)
    if first > n + 1 then return { 'trimmed' } end
    if first <= n then n = first - 1 end
  elseif open then
    if last > n then return { 'trimmed' } end
    -- Ahead of a log that lost its end: on from what is the end now, as the next message may get a smaller log id.
    if last < n then n, id = last, lastId end
  else
    -- The stream has ended, and nothing comes after the cursor: is the cursor one of its entries?
    if entryAt(events, id, first, map) ~= stream then return { 'unknown' } end
  end
  -- What comes after may be the bare end of a cancelled request, which shows nothing.
  if not open and (not found or not after[#after][2].m) then return { 'ended' } end
end

local previous = holder or ''
if open and not superseded then
  redis.call('HSET', streams, 'h:' .. stream, me)
  setPredecessors(streams, stream, before)
  if state[2] and state[2] ~= me then
    -- Here, since this node may have died before it could: a claim may be carried out long after it was sent.
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

-- That a stream was resumed is logged as long as there is a log, whose time it does not lengthen; and not so often that
-- clients which come back all the time push out what they come back for.
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
    if not first then redis.call('XADD', events, '*', unpack(fields)) end
    redis.call('HSET', streams, 'bytes', whole(noted[2]) + ENTRY_BYTES, 'res', '0:' .. now .. '-0')
  else
    redis.call('HSET', streams, 'res', (skipped + 1) .. ':' .. since)
  end
end
wake()
local executor, begun = executorOf(state[4])
return { 'attached', tostring(n), id, head[2], previous, executor, begun and '1' or '' }
