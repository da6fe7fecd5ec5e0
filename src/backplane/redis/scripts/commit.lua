-- One atomic step of a node in a session: any number of operations, in order.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 number of the commit, 3 now (ms), 4 session TTL (ms), 5 TTL before `initialized` (ms),
--       6 most events kept, 7 longest time kept (ms), 8 channel prefix, 9 session id, then the operations:
--   open     <principal> <stream> <token> <revision|-> <#requests> <request>... <#messages> <message>...
--   receive  <principal> <revision|-> <route> <argument> <message>
--   append   <stream> <ends|''> <asks 1|''> <effect|''> <value> <condition|''> <value> <coalesce|''> <has message 1|''> <message>
--   detach   <stream> <token> <n> <log id> <never used 1|''>
--   hangup   <stream>
--   claim    <stream> <from> <revision|->
--   release  <stream>
--   abandon  <stream> <#requests> <request>...
--   forget
--
-- Returns { 'gone' }, or { 'ok', revision, record (flat) or '', holder of the standalone stream or '', results },
-- where a result is a list that starts with its status (see OperationResult in backplane.ts).
--
-- A repeat (same number again, because a reply was lost) changes nothing.
local record, streams, events = KEYS[1], KEYS[2], KEYS[3]
local node, number, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local maxEvents, maxAge, channels, sid = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]

local head = redis.call('HMGET', record, 'rev', 'on', 'pr', 'hears', 'called')
if not head[1] then return { 'gone' } end
local revision, active, principal, hears = tonumber(head[1]), head[2] == '1', head[3], head[4]
local called = head[5] == '1'

local repeated = tonumber(redis.call('HGET', streams, 't:' .. node) or '0') >= number

local used, logged, stale = false, false, false
local at = 10
local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end
local function takeList()
  local list = {}
  for i = 1, tonumber(take()) do list[i] = take() end
  return list
end

local function log(...)
  logged = true
  return redis.call('XADD', events, 'MAXLEN', maxEvents, '*', ...)
end

local function reps() return redis.call('HGET', streams, 'reps') or '' end
local function hasReplica(list, name) return string.find(' ' .. list .. ' ', ' ' .. name .. ' ', 1, true) ~= nil end
local function addReplica()
  local list = reps()
  if not hasReplica(list, node) then
    redis.call('HSET', streams, 'reps', list == '' and node or (list .. ' ' .. node))
  end
end

-- A caller that has no replica, or one of another revision, needs the record.
local function check(known)
  if known == '-' then addReplica() end
  if known ~= tostring(revision) then stale = true end
end

local function dropStream(stream)
  redis.call('HDEL', streams, 'n:' .. stream, 'h:' .. stream, 'w:' .. stream, 'x:' .. stream,
    'p:' .. stream, 'b:' .. stream)
end

local run = {}

function run.open()
  local who, stream, token, known = take(), take(), take(), take()
  local requests, messages = takeList(), takeList()
  if who ~= principal then return { 'denied' } end
  if not repeated then
    for _, id in ipairs(requests) do
      local taken = redis.call('HGET', streams, 'r:' .. id)
      if taken then return { 'duplicate', taken, redis.call('HGET', streams, 'x:' .. taken) or '' } end
    end
    local id
    for _, message in ipairs(messages) do id = log('s', stream, 'm', message) end
    redis.call('HSET', streams, 'n:' .. stream, '0:' .. id, 'h:' .. stream, node .. ':' .. token,
      'x:' .. stream, node, 'p:' .. stream, #requests)
    for _, request in ipairs(requests) do redis.call('HSET', streams, 'r:' .. request, stream) end
  elseif not redis.call('HGET', streams, 'x:' .. stream) then
    return { 'duplicate', '', '' } -- the first run refused it, and the only reason that it can have had is this
  end
  used = true
  if not called then
    called = true
    redis.call('HSET', record, 'called', '1')
  end
  check(known)
  local _, id = position(redis.call('HGET', streams, 'n:' .. stream))
  return { 'opened', '0', id }
end

function run.receive()
  local who, known, route, argument, message = take(), take(), take(), take(), take()
  if who ~= principal then return { 'denied' } end
  used = true
  if not repeated then log('m', message) end
  local here = false
  local chosen, changed = '', ''
  if route == 'node' then
    here = argument == node
    if not here and not repeated then tell(channels, argument, 'deliver ' .. sid, message) end
  elseif route == 'executor' then
    local stream = redis.call('HGET', streams, 'r:' .. argument)
    local executor = stream and redis.call('HGET', streams, 'x:' .. stream)
    here = executor == node
    if executor and not here and not repeated then tell(channels, executor, 'deliver ' .. sid, message) end
  elseif route == 'replicas' then
    here = hasReplica(reps(), node)
    if not repeated then tellReplicas(channels, reps(), node, 'deliver ' .. sid, message) end
  elseif route == 'initialized' then
    local list = reps()
    local handler = node
    if not hasReplica(list, node) then handler = string.match(list, '%S+') or node end
    here = handler == node
    if not here then chosen = handler end
    if not repeated then
      if not active then
        active, changed = true, '1'
        revision = redis.call('HINCRBY', record, 'rev', 1)
        redis.call('HSET', record, 'on', '1')
        for other in string.gmatch(list, '%S+') do
          if other ~= node then
            tell(channels, other, 'shape ' .. sid .. ' ' .. revision, other == handler and message or '')
          end
        end
      elseif handler ~= node then
        tell(channels, handler, 'deliver ' .. sid, message)
      end
    end
    if here then check(known) end
  elseif route == 'here' then
    here = true
    check(known)
  end
  return { 'received', here and '1' or '', '', chosen, changed }
end

local function shape(effect, value)
  if effect == 'level' then redis.call('HSET', record, 'lvl', value)
  elseif effect == 'subscribe' then redis.call('HSET', record, 'sub:' .. value, '1')
  else redis.call('HDEL', record, 'sub:' .. value) end
  revision = redis.call('HINCRBY', record, 'rev', 1)
  tellReplicas(channels, reps(), node, 'shape ' .. sid .. ' ' .. revision)
end

-- Whether a broadcast concerns the session, and is not waiting there unshown already.
local function wanted(stream, condition, value, coalesce)
  if condition == 'hears' and not string.find(hears, value, 1, true) then return false end
  if condition == 'subscribed' and redis.call('HEXISTS', record, 'sub:' .. value) == 0 then return false end
  if coalesce == '' or redis.call('HEXISTS', streams, 'h:' .. stream) == 1 then return true end
  local last = redis.call('HGET', streams, 'c:' .. coalesce)
  if not last then return true end
  local n, id = position(last)
  local written = position(redis.call('HGET', streams, 'w:' .. stream))
  return n <= written or #redis.call('XRANGE', events, id, id) == 0
end

function run.append()
  local stream, ends, asks, effect, effectValue = take(), take(), take(), take(), take()
  local condition, conditionValue, coalesce, has, message = take(), take(), take(), take(), take()
  if repeated then return { 'repeated' } end
  local state = redis.call('HMGET', streams, 'n:' .. stream, 'h:' .. stream, 'x:' .. stream, 'p:' .. stream,
    'b:' .. stream)
  local last, holder, executor, pending, before = state[1], state[2], state[3], state[4], state[5]
  if stream ~= STANDALONE and executor ~= node then return { 'dropped' } end
  if ends ~= '' and redis.call('HGET', streams, 'r:' .. ends) ~= stream then return { 'dropped' } end
  if not wanted(stream, condition, conditionValue, coalesce) then return { 'skipped' } end

  local ended = false
  if ends ~= '' then
    redis.call('HDEL', streams, 'r:' .. ends)
    ended = tonumber(pending) <= 1
    if not ended then redis.call('HINCRBY', streams, 'p:' .. stream, -1) end
  end
  local n = position(last) + 1
  local fields = { 's', stream, 'n', n }
  if has == '1' then fields[5] = 'm' fields[6] = message end
  if ended then fields[#fields + 1] = 'e' fields[#fields + 1] = '1' end
  if asks == '1' then fields[#fields + 1] = 'q' fields[#fields + 1] = node end
  local id = log(unpack(fields))
  if ended then dropStream(stream) else redis.call('HSET', streams, 'n:' .. stream, n .. ':' .. id) end
  if coalesce ~= '' then redis.call('HSET', streams, 'c:' .. coalesce, n .. ':' .. id) end
  if effect ~= '' then shape(effect, effectValue) end

  local token = ''
  if holder then
    local holdingNode, connection = split(holder, ':')
    if holdingNode == node then
      token = connection
    else
      local inline = #message <= INLINE_BYTES
      tell(channels, holdingNode, table.concat({ 'event', sid, stream, connection, n, id, ended and '1' or '0',
        asks == '1' and node or '-', inline and '1' or '0', has == '1' and '1' or '0' }, ' '), inline and message or '')
    end
  end
  if ended and before then
    -- The holder's claim may be one that was never used: then nobody will give the stream back, since there is none.
    local node, connection = split(before, ':')
    tell(channels, node, table.concat({ 'event', sid, stream, connection, n, id, '1', '-', '0', '0' }, ' '))
  end
  return { 'appended', tostring(n), id, token, ended and '1' or '' }
end

function run.detach()
  local stream, token, n, id, never = take(), take(), tonumber(take()), take(), take()
  if repeated then return { 'done' } end
  local me = node .. ':' .. token
  if stream == STANDALONE then
    local written = position(redis.call('HGET', streams, 'w:' .. stream))
    if n > written then redis.call('HSET', streams, 'w:' .. stream, n .. ':' .. id) end
  end
  -- Nobody may give the stream back to a connection that has ended.
  local before = redis.call('HGET', streams, 'b:' .. stream)
  if before == me then redis.call('HDEL', streams, 'b:' .. stream) end
  if redis.call('HGET', streams, 'h:' .. stream) ~= me then return { 'done' } end
  redis.call('HDEL', streams, 'b:' .. stream)
  local follower = '-'
  if never == '1' and before then
    redis.call('HSET', streams, 'h:' .. stream, before)
    local connection
    follower, connection = split(before, ':')
    -- What was stored meanwhile was announced to a connection that never was.
    local last, lastId = position(redis.call('HGET', streams, 'n:' .. stream))
    tell(channels, follower, table.concat({ 'event', sid, stream, connection, last, lastId, '0', '-', '0', '0' }, ' '))
  else
    redis.call('HDEL', streams, 'h:' .. stream)
  end
  if stream == STANDALONE then
    tellReplicas(channels, reps(), nil, 'followed ' .. sid .. ' ' .. follower)
  end
  return { 'done' }
end

function run.hangup()
  local stream = take()
  local holder = redis.call('HGET', streams, 'h:' .. stream)
  if not holder then return { 'received', '' } end
  local holdingNode, connection = split(holder, ':')
  if holdingNode == node then return { 'received', '1', connection } end
  if not repeated then tell(channels, holdingNode, 'hangup ' .. sid .. ' ' .. stream .. ' ' .. connection) end
  return { 'received', '' }
end

local function requestsOf(stream)
  local list = {}
  local fields = redis.call('HGETALL', streams)
  for i = 1, #fields, 2 do
    if fields[i + 1] == stream and string.sub(fields[i], 1, 2) == 'r:' then
      list[#list + 1] = string.sub(fields[i], 3)
    end
  end
  return list
end

function run.claim()
  local stream, from, known = take(), take(), take()
  local executor = redis.call('HGET', streams, 'x:' .. stream)
  if repeated then
    if executor ~= node then return { 'dropped' } end
  else
    if executor ~= from then return { 'dropped' } end
    redis.call('HSET', streams, 'x:' .. stream, node)
  end
  check(known)
  return { 'claimed', unpack(requestsOf(stream)) }
end

function run.release()
  local stream = take()
  if repeated or redis.call('HGET', streams, 'x:' .. stream) ~= node then return { 'done' } end
  redis.call('HSET', streams, 'x:' .. stream, '-')
  local holder = redis.call('HGET', streams, 'h:' .. stream)
  if holder then
    local holdingNode, connection = split(holder, ':')
    if holdingNode ~= node then tell(channels, holdingNode, 'orphaned ' .. sid .. ' ' .. stream .. ' ' .. connection) end
  end
  return { 'done' }
end

function run.abandon()
  local stream = take()
  local requests = takeList()
  if not repeated and redis.call('HGET', streams, 'x:' .. stream) == node then
    for _, request in ipairs(requests) do redis.call('HDEL', streams, 'r:' .. request) end
    dropStream(stream)
  end
  return { 'done' }
end

function run.forget()
  if not repeated then
    local left = {}
    for other in string.gmatch(reps(), '%S+') do
      if other ~= node then left[#left + 1] = other end
    end
    redis.call('HSET', streams, 'reps', table.concat(left, ' '))
  end
  return { 'done' }
end

local results = {}
while at <= #ARGV do results[#results + 1] = run[take()]() end
-- Last: a script that failed in the middle has not been carried out, and may not be taken for a repeat.
if not repeated then redis.call('HSET', streams, 't:' .. node, number) end

local ttl = tonumber((active or called) and ARGV[4] or ARGV[5])
if used then
  redis.call('HSET', record, 'seen', now)
  redis.call('PEXPIRE', record, ttl)
end
redis.call('PEXPIRE', streams, ttl)
if logged then
  if maxAge > 0 then
    local time = redis.call('TIME')
    redis.call('XTRIM', events, 'MINID', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) - maxAge))
  end
  redis.call('PEXPIRE', events, math.min(ttl, maxAge))
end
if not stale then return { 'ok', tostring(revision), '', '', results } end
return { 'ok', tostring(revision), redis.call('HGETALL', record), redis.call('HGET', streams, 'h:' .. STANDALONE) or '', results }
