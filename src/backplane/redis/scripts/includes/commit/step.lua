-- One atomic step of a node in a session: any number of operations, in order.
--
-- The loader puts each of the commit scripts together from this beginning, the rooms of the operations that it is for,
-- and finish.lua: what a script defines costs time with each run, used or not, and most steps are one `open` or `append`.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 number of the commit, 3 most bytes of the log or '', 4 session TTL (ms), 5 TTL before `initialized` (ms),
--       6 most events kept, 7 longest time kept (ms), 8 channel prefix, 9 session id,
--       10 a log id after which its entries have to come, or '', then the operations:
--   open     <principal> <stream> <token> <revision|-> <owned 1|''> <most|''> <#requests> <request>... <#messages> <message>...
--   receive  <principal> <revision|-> <route> <argument> <message>
--   append   <stream> <ends|''> <asks 1|''> <effect|''> <value> <seal|''> <condition|''> <value> <coalesce|''> <has message 1|''> <message>
--   detach   <stream> <token> <n> <log id> <never used 1|''>
--   hangup   <stream>
--   claim    <stream> <from> <looked at|''> <revision|-> <owned 1|''>
--   assign   <stream|''> <dead|''> <looked at|''> <revision|->
--   release  <stream>
--   abandon  <stream> <#requests> <request>...
--   note     <kind> <stream> <request> <from|''> <only after 'appended' 1|''>
--   forget
--
-- Returns { 'gone' }, or { 'ok', revision, record (flat) or '', holder of the standalone stream or '', results },
-- where a result is a list that starts with its status (see OperationResult in backplane.ts); or, for a single `opened`
-- or `appended` and no record, "<revision> <the result, separated by spaces>".
--
-- A repeat (same number again, because a reply was lost) changes nothing.
local record, streams, events = sessionKeys()
local node, number, maxEvents, channels, sid = ARGV[1], ARGV[2], ARGV[6], ARGV[8], ARGV[9]

local head = redis.call('HMGET', record, 'rev', 'on', 'pr', 'hears', 'called', 'own')
-- Text, as the numbers below: one that is passed on to Redis is formatted anew each time.
local revision, principal, hears, owner = head[1], head[3], head[4] or '', head[6] or ''
if not revision then return { 'gone' } end
if #revision > 600 or not string.find(revision .. '.', '^%d+%.') then malformed() end
local active, called = head[2] == '1', head[5] == '1'

-- The streams hash, as far as this step has looked at it: a value, or false. What it changes is written in one go, at the
-- end, or before somebody reads the hash as a whole.
local fields, changed = {}, {}

local function load(names)
  local values = redis.call('HMGET', streams, unpack(names))
  for i = 1, #names do fields[names[i]] = values[i] end
end

local function get(name)
  local value = fields[name]
  if value == nil then
    value = redis.call('HGET', streams, name)
    fields[name] = value
  end
  return value
end

-- `value`: false takes it away.
local function set(name, value)
  fields[name], changed[name] = value, true
end

-- Taken away at once. Where Redis is full, a script that has begun with this may go on, and one that begins with anything
-- that needs memory may not: an answer to a call is to be stored all the same.
local function drop(names)
  redis.call('HDEL', streams, unpack(names))
  for i = 1, #names do fields[names[i]], changed[names[i]] = false, nil end
end

-- No more than fit on the stack go in one command.
local function send(command, list)
  for from = 1, #list, 1000 do redis.call(command, streams, unpack(list, from, math.min(from + 999, #list))) end
end

local function write()
  local gone, put, last = {}, {}, 0
  for name in pairs(changed) do
    local value = fields[name]
    if value then
      put[last + 1], put[last + 2] = name, value
      last = last + 2
    else
      gone[#gone + 1] = name
    end
  end
  changed = {}
  send('HDEL', gone)
  send('HSET', put)
end

-- What the first operation, mostly the only one, is about to look at.
local mark = 't:' .. node
local wanted = { mark, 'bytes', 'first', 'from', 'kept', 'trimmed' }
if ARGV[11] == 'open' then
  wanted[7], wanted[8] = 'run', 'reps'
  if ARGV[18] == '1' then wanted[9] = 'r:' .. ARGV[19] end
elseif ARGV[11] == 'receive' then
  wanted[7] = 'reps'
elseif ARGV[11] == 'append' then
  local stream, ends = ARGV[12], ARGV[13]
  wanted[7], wanted[8], wanted[9] = 'n:' .. stream, 'h:' .. stream, 'x:' .. stream
  if ends ~= '' then
    wanted[10], wanted[11] = 'p:' .. stream, 'b:' .. stream
    wanted[12], wanted[13] = 'r:' .. ends, 'run'
  end
end
load(wanted)

local repeated = whole(fields[mark]) >= tonumber(number)
local bytes = whole(fields.bytes)

-- `logged`: the id of the first entry of this step; `lengthened`: from now on the session lives longer than it did.
local used, logged, stale, lengthened = false, nil, false, false
local run, results = {}, {}

-- The next so many arguments.
local at = 11
local function take(count)
  at = at + count
  return unpack(ARGV, at - count, at - 1)
end
local function takeList()
  local list = {}
  for i = 1, tonumber(ARGV[at]) do list[i] = ARGV[at + i] end
  at = at + 1 + #list
  return list
end

-- Of a log that is bounded in bytes, the map has a place each so many bytes: where it is to be trimmed to.
local mapEvery = ARGV[3] ~= '' and tonumber(ARGV[3]) / 64

-- The lowest log id that this step may give, where `ms` is behind the clock by which the log has gone so far: a new master's
-- clock may be, and who has seen what the log has lost must not take what comes now for that. Clocks of the masters of a
-- cluster that differ a little do no harm.
local CLOCK_SLACK_MS = 20
local function notBehind(ms)
  if ARGV[10] == '' then return nil end
  local afterMs, counter = string.match(ARGV[10], '^(%d+)%-(%d+)$')
  if tonumber(ms) + CLOCK_SLACK_MS >= tonumber(afterMs) then return nil end
  return afterMs, string.format('%.0f', counter + 1)
end

-- The next log id of a log that is text, whose last one is `last`: milliseconds, and counter.
local function nextId(last)
  local time = redis.call('TIME')
  local ms, counter = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), 0
  local afterMs, afterCounter = notBehind(ms)
  if afterMs then ms, counter = afterMs, afterCounter end
  local lastMs, lastCounter = split(last, '-')
  if tonumber(ms) <= tonumber(lastMs) then ms, counter = lastMs, lastCounter + 1 end
  return ms, counter
end

-- Logs an entry while the log can be no stream.
local function logYoung(message, ...)
  local count, last = position(get('first'))
  local text, given, ordered = youngLog(events), { ... }, { 'o', bytes }
  local isWords = #text + #message <= YOUNG_BYTES
  for i = 1, #given, 2 do
    if given[i] ~= 'm' then
      isWords = isWords and string.find(given[i + 1], '^%S+$') ~= nil
      ordered[#ordered + 1] = given[i]
      ordered[#ordered + 1] = given[i + 1]
    end
  end
  -- What does not fit waits for the end of the move: this is refused.
  if not isWords then redis.call('XADD', events .. ':none', '*', 'o', bytes) end
  local ms, counter = nextId(last)
  local id = ms .. '-' .. counter
  setYoungLog(events, text .. firstEntry(id, #ordered < #given + 2 and message or nil, unpack(ordered)))
  set('first', (count + 1) .. ':' .. id)
  bytes = bytes + ENTRY_BYTES + #message
  logged = logged or id
  return id
end

-- Logs an entry. `...` are its fields; those of a message of the server begin with s and n.
local function log(message, ...)
  local id
  if not fields.first or moveFirst(events) then
    if fields.first then set('first', false) end
    id = onLog('XADD', events, 'MAXLEN', maxEvents, '*', 'o', bytes, ...)
  end
  if not id then return logYoung(message, ...) end
  if not logged then
    local ms, counter = notBehind((split(id, '-')))
    if ms then
      redis.call('XDEL', events, id)
      id = redis.call('XADD', events, 'MAXLEN', maxEvents, ms .. '-' .. counter, 'o', bytes, ...)
    end
  end
  local offset = bytes
  bytes = bytes + ENTRY_BYTES + #message
  logged = logged or id
  local large = #message >= LARGE_BYTES
  if large or (mapEvery and math.floor(offset / mapEvery) < math.floor(bytes / mapEvery)) then
    local has, stream, numbered = ...
    local ends = numbered ~= 'n' and 'i' or (select(select('#', ...) - 1, ...) == 'e' and '1' or '0')
    set('map', mapped(get('map'), id, offset, large and (has == 's' and stream or '-') or '*', ends))
  end
  return id
end

-- Makes the record's next revision, and says which. See revision.ts: no other step can make the same one.
local function revise()
  local count, rest = string.match(revision, '^(%d+)%.?([^.]*)')
  revision = string.format('%.0f', count + 1) .. '.' .. node .. ':' .. number .. '.' .. rest
  redis.call('HSET', record, 'rev', revision)
  return revision
end

local function countRunning(more)
  set('run', whole(get('run')) + more)
end
