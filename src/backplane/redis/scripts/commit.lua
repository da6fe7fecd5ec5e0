-- One atomic step of a node in a session: any number of operations, in order.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 number of the commit, 3 now (ms), 4 session TTL (ms), 5 TTL before `initialized` (ms),
--       6 most events kept, 7 longest time kept (ms), 8 channel prefix, 9 session id,
--       10 most bytes of the log or '', then the operations:
--   open     <principal> <stream> <token> <revision|-> <owned 1|''> <most|''> <#requests> <request>... <#messages> <message>...
--   receive  <principal> <revision|-> <route> <argument> <message>
--   append   <stream> <ends|''> <asks 1|''> <effect|''> <value> <condition|''> <value> <coalesce|''> <has message 1|''> <message>
--   detach   <stream> <token> <n> <log id> <never used 1|''>
--   hangup   <stream>
--   claim    <stream> <from> <revision|-> <owned 1|''>
--   assign   <stream|''> <dead|''> <revision|->
--   release  <stream>
--   abandon  <stream> <#requests> <request>...
--   note     <kind> <stream> <request> <from|''> <only after 'appended' 1|''>
--   forget
--
-- Returns { 'gone' }, or { 'ok', revision, record (flat) or '', holder of the standalone stream or '', results },
-- where a result is a list that starts with its status (see OperationResult in backplane.ts).
--
-- A repeat (same number again, because a reply was lost) changes nothing.
local record, streams, events = KEYS[1], KEYS[2], KEYS[3]
local node, number, now = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local maxEvents, maxAge, channels, sid = ARGV[6], tonumber(ARGV[7]), ARGV[8], ARGV[9]

local head = redis.call('HMGET', record, 'rev', 'on', 'pr', 'hears', 'called', 'own')
if not head[1] then return { 'gone' } end
local revision, active, principal, hears = tonumber(head[1]), head[2] == '1', head[3], head[4]
local called, owner = head[5] == '1', head[6] or ''

local counters = redis.call('HMGET', streams, 't:' .. node, 'bytes', 'from')
local repeated = tonumber(counters[1] or '0') >= number
local bytes = tonumber(counters[2] or '0')

-- `logged`: the id of the first entry of this step.
local used, logged, stale = false, nil, false
local at = 11
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

local function log(message, ...)
  local id = redis.call('XADD', events, 'MAXLEN', maxEvents, '*', 'o', bytes, ...)
  bytes = bytes + ENTRY_BYTES + #message
  logged = logged or id
  return id
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
    'p:' .. stream, 'b:' .. stream, 'a:' .. stream,
    'd:' .. stream)
end

-- The owner of the session: this node, where nobody is, or one that is known to be dead.
local function ownerUnless(dead)
  if not repeated and (owner == '' or owner == dead) then
    -- It may only have been paused: then it is to know.
    if owner ~= '' then tell(channels, owner, 'disowned ' .. sid) end
    owner = node
    redis.call('HSET', record, 'own', node)
  end
  return owner
end

-- The field x:<stream> of a stream that this owner is to execute, and whether that is another node.
local function executorFor(name)
  if name == node then return node, '' end
  return UNBEGUN .. name, name
end

local run = {}

-- The streams whose requests run, as <stream> <executor> ...; and how many run in fact.
local function running()
  local fields = redis.call('HGETALL', streams)
  local list, count = {}, 0
  for i = 1, #fields, 2 do
    local kind, name = string.sub(fields[i], 1, 2), string.sub(fields[i], 3)
    if kind == 'r:' then count = count + 1 end
    if kind == 'x:' and #list < 1000 then
      list[#list + 1] = name
      list[#list + 1] = (executorOf(fields[i + 1]))
    end
  end
  return list, count
end

-- Whether so many requests more are too many. Counted anew where it seems so: that costs, and mends the counter.
local function tooMany(more, most)
  local count = tonumber(redis.call('HGET', streams, 'run') or '0')
  if most == '' or count + more <= tonumber(most) then return nil end
  local list, exactly = running()
  redis.call('HSET', streams, 'run', exactly)
  return exactly + more > tonumber(most) and list or nil
end

function run.open()
  local who, stream, token, known, owned, most = take(), take(), take(), take(), take(), take()
  local requests, messages = takeList(), takeList()
  if who ~= principal then return { 'denied' } end
  if not repeated then
    for _, id in ipairs(requests) do
      local taken = redis.call('HGET', streams, 'r:' .. id)
      if taken then return { 'duplicate', taken, (executorOf(redis.call('HGET', streams, 'x:' .. taken))) } end
    end
    local others = tooMany(#requests, most)
    if others then return { 'limited', unpack(others) } end
    redis.call('HINCRBY', streams, 'run', #requests)
    local id
    for _, message in ipairs(messages) do id = log(message, 's', stream, 'm', message) end
    redis.call('HSET', streams, 'n:' .. stream, '0:' .. id, 'h:' .. stream, node .. ':' .. token,
      'x:' .. stream, owned == '1' and executorFor(ownerUnless()) or node, 'p:' .. stream, #requests)
    for _, request in ipairs(requests) do redis.call('HSET', streams, 'r:' .. request, stream) end
  elseif not redis.call('HGET', streams, 'x:' .. stream) then
    -- The first run refused it, and there is one reason only where no id is taken.
    for _, id in ipairs(requests) do
      if redis.call('HEXISTS', streams, 'r:' .. id) == 1 then return { 'duplicate', '', '' } end
    end
    return { most == '' and 'duplicate' or 'limited', '', '' }
  end
  used = true
  if not called then
    called = true
    redis.call('HSET', record, 'called', '1')
  end
  local state = redis.call('HMGET', streams, 'n:' .. stream, 'x:' .. stream)
  local executor, begun = executorOf(state[2])
  if begun then check(known) end
  local _, id = position(state[1])
  return { 'opened', '0', id, begun and '' or executor }
end

function run.receive()
  local who, known, route, argument, message = take(), take(), take(), take(), take()
  if who ~= principal then return { 'denied' } end
  used = true
  if not repeated then log(message, 'm', message) end
  local here = false
  local chosen, changed, unbegun = '', '', ''
  if route == 'node' then
    here = argument == node
    if not here and not repeated then tell(channels, argument, 'deliver ' .. sid, message) end
  elseif route == 'executor' then
    local stream = redis.call('HGET', streams, 'r:' .. argument)
    local executor, begun = executorOf(stream and redis.call('HGET', streams, 'x:' .. stream))
    here = executor == node and begun
    if not begun then
      unbegun, chosen = stream, executor
    elseif executor ~= '' and not here and not repeated then
      tell(channels, executor, 'deliver ' .. sid, message)
    end
  elseif route == 'replicas' then
    here = hasReplica(reps(), node)
    if not repeated then tellReplicas(channels, reps(), node, 'deliver ' .. sid, message) end
  elseif route == 'initialized' then
    local list = reps()
    local handler = node
    if argument == '1' then handler = ownerUnless()
    elseif not hasReplica(list, node) then handler = string.match(list, '%S+') or node end
    here = handler == node
    if not here then chosen = handler end
    if not repeated then
      if not active then
        active, changed = true, '1'
        log('', 'k', 'session.initialized', 'by', node)
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
  elseif route == 'owner' then
    here = ownerUnless() == node
    if here then check(known) else chosen = owner end
  end
  return { 'received', here and '1' or '', '', chosen, changed, unbegun }
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
  if condition == 'owned' and owner ~= node then return false end
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
  if repeated then
    -- Whether this node was the owner the first time, nobody knows: its server is not told that it was heard.
    return { condition == 'owned' and owner ~= node and 'skipped' or 'repeated' }
  end
  local state = redis.call('HMGET', streams, 'n:' .. stream, 'h:' .. stream, 'x:' .. stream, 'p:' .. stream,
    'b:' .. stream)
  local last, holder, executor, pending, before = state[1], state[2], state[3], state[4], state[5]
  if stream ~= STANDALONE and executor ~= node then
    local _, begun = executorOf(executor)
    if begun or condition ~= 'unbegun' then return { 'dropped' } end
  end
  if ends ~= '' and redis.call('HGET', streams, 'r:' .. ends) ~= stream then return { 'dropped' } end
  if not wanted(stream, condition, conditionValue, coalesce) then return { 'skipped' } end

  local ended = false
  if ends ~= '' then
    redis.call('HDEL', streams, 'r:' .. ends)
    redis.call('HINCRBY', streams, 'run', -1)
    ended = tonumber(pending) <= 1
    if not ended then redis.call('HINCRBY', streams, 'p:' .. stream, -1) end
  end
  local n = position(last) + 1
  local fields = { 's', stream, 'n', n }
  if has == '1' then fields[5] = 'm' fields[6] = message end
  if ended then fields[#fields + 1] = 'e' fields[#fields + 1] = '1' end
  if asks == '1' then fields[#fields + 1] = 'q' fields[#fields + 1] = node end
  local id = log(message, unpack(fields))
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
  if ended then
    -- The holder's claim may be one that was never used: then nobody will give the stream back, since there is none.
    for _, other in ipairs(predecessors(before)) do
      local itsNode, connection = split(other, ':')
      tell(channels, itsNode, table.concat({ 'event', sid, stream, connection, n, id, '1', '-', '0', '0' }, ' '))
    end
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
  local state = redis.call('HMGET', streams, 'h:' .. stream, 'b:' .. stream)
  -- Nobody may give the stream back to a connection that has ended.
  local before = predecessors(state[2], me)
  if state[1] ~= me then
    if state[2] then setPredecessors(streams, stream, before) end
    return { 'done' }
  end
  local follower = '-'
  if never == '1' and before[1] then
    local back = table.remove(before, 1)
    redis.call('HSET', streams, 'h:' .. stream, back)
    setPredecessors(streams, stream, before)
    local connection
    follower, connection = split(back, ':')
    -- What was stored meanwhile was announced to a connection that never was.
    local last, lastId = position(redis.call('HGET', streams, 'n:' .. stream))
    tell(channels, follower, table.concat({ 'event', sid, stream, connection, last, lastId, '0', '-', '0', '0' }, ' '))
  else
    redis.call('HDEL', streams, 'h:' .. stream, 'b:' .. stream)
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
  local stream, from, known, owned = take(), take(), take(), take()
  local field = redis.call('HGET', streams, 'x:' .. stream)
  local executor, begun = executorOf(field)
  local other = ''
  if repeated then
    if not begun then other = executor end
    if not field or (begun and executor ~= node) then return { 'dropped', executor, begun and '1' or '' } end
  else
    if executor ~= from then return { 'dropped', executor, begun and '1' or '' } end
    field = node
    if owned == '1' then field, other = executorFor(ownerUnless(from)) end
    redis.call('HSET', streams, 'x:' .. stream, field)
    if other ~= '' then redis.call('HSET', streams, 'a:' .. stream, '1') end
  end
  if other == '' then check(known) end
  return { 'claimed', other, unpack(requestsOf(stream)) }
end

function run.assign()
  local stream, dead, known = take(), take(), take()
  if stream == '' then
    ownerUnless(dead)
    if owner == node then check(known) end
    return { 'assigned', owner, '' }
  end
  local field = redis.call('HGET', streams, 'x:' .. stream)
  if not field then return { 'dropped' } end
  local executor, begun = executorOf(field)
  -- A repeat has begun it only if it did so the first time: an earlier commit of this node may have.
  local mine = repeated and field == node and redis.call('HGET', streams, 'd:' .. stream) == ARGV[2]
  if not repeated and not begun then
    field = executorFor(ownerUnless(dead))
    redis.call('HSET', streams, 'x:' .. stream, field, 'd:' .. stream, ARGV[2])
    executor, begun = executorOf(field)
    mine = begun
  end
  if not mine then return { 'assigned', executor, begun and '1' or '' } end
  check(known)
  local again = redis.call('HGET', streams, 'a:' .. stream)
  return { 'assigned', executor, '1', again and 'again' or '1', unpack(requestsOf(stream)) }
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
  local executor, begun = executorOf(redis.call('HGET', streams, 'x:' .. stream))
  -- Begun by nobody, it is still the one's who opened it.
  if not repeated and (not begun or executor == node) then
    for _, request in ipairs(requests) do
      if redis.call('HDEL', streams, 'r:' .. request) == 1 then redis.call('HINCRBY', streams, 'run', -1) end
    end
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
    if owner == node then
      owner = ''
      redis.call('HDEL', record, 'own')
    end
  end
  return { 'done' }
end

local results = {}
function run.note()
  local kind, stream, request, from, dependent = take(), take(), take(), take(), take()
  if repeated then return { 'done' } end
  if dependent == '1' and results[#results][1] ~= 'appended' then return { 'skipped' } end
  local fields = { 'k', kind, 'by', node, 's', stream, 'r', request }
  if from ~= '' then fields[9] = 'f' fields[10] = from end
  log('', unpack(fields))
  return { 'done' }
end

while at <= #ARGV do results[#results + 1] = run[take()]() end
-- Last: a script that failed in the middle has not been carried out, and may not be taken for a repeat.
if not repeated then redis.call('HSET', streams, 't:' .. node, number, 'bytes', bytes) end

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
  local from = tonumber(counters[3] or '0')
  local oldest = ARGV[10] == '' and from or trimBytes(events, bytes, from, tonumber(ARGV[10]), logged)
  if oldest ~= from then redis.call('HSET', streams, 'from', oldest) end
  redis.call('PEXPIRE', events, math.min(ttl, maxAge))
end
if not stale then return { 'ok', tostring(revision), '', '', results } end
return { 'ok', tostring(revision), redis.call('HGETALL', record), redis.call('HGET', streams, 'h:' .. STANDALONE) or '', results }
