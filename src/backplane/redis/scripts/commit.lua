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

local function write()
  local gone, put = {}, {}
  for name in pairs(changed) do
    local value = fields[name]
    if value then put[#put + 1] = name put[#put + 1] = value
    else gone[#gone + 1] = name end
  end
  changed = {}
  -- No more than fit on the stack.
  for at = 1, #gone, 1000 do redis.call('HDEL', streams, unpack(gone, at, math.min(at + 999, #gone))) end
  for at = 1, #put, 1000 do redis.call('HSET', streams, unpack(put, at, math.min(at + 999, #put))) end
end

-- What the first operation, mostly the only one, is about to look at.
local mark = 't:' .. node
local wanted = { mark, 'bytes', 'from', 'kept', 'trimmed' }
if ARGV[11] == 'open' then
  wanted[6] = 'run'
  if ARGV[18] == '1' then wanted[7] = 'r:' .. ARGV[19] end
elseif ARGV[11] == 'append' then
  local stream, ends = ARGV[12], ARGV[13]
  for i, kind in ipairs({ 'n:', 'h:', 'x:', 'p:', 'b:' }) do wanted[5 + i] = kind .. stream end
  if ends ~= '' then wanted[11] = 'r:' .. ends wanted[12] = 'run' end
end
load(wanted)

local repeated = tonumber(fields[mark] or '0') >= number
local bytes = tonumber(fields.bytes or '0')

-- `logged`: the id of the first entry of this step; `lengthened`: from now on the session lives longer than it did.
local used, logged, stale, lengthened = false, nil, false, false
local results = {}
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

local function reps() return get('reps') or '' end
local function hasReplica(list, name) return string.find(' ' .. list .. ' ', ' ' .. name .. ' ', 1, true) ~= nil end
local function addReplica()
  local list = reps()
  if not hasReplica(list, node) then
    set('reps', list == '' and node or (list .. ' ' .. node))
  end
end

-- A caller that has no replica, or one of another revision, needs the record.
local function check(known)
  if known == '-' then addReplica() end
  if known ~= tostring(revision) then stale = true end
end

local function dropStream(stream, request)
  local names = { 'n:' .. stream, 'h:' .. stream, 'w:' .. stream, 'x:' .. stream, 'p:' .. stream, 'b:' .. stream,
    'a:' .. stream, 'd:' .. stream }
  if request then names[9] = 'r:' .. request end
  drop(names)
end

local function countRunning(more)
  set('run', tonumber(get('run') or '0') + more)
end

-- The field b:<stream> of the connections from which its holder took it.
local function setBefore(stream, list)
  set('b:' .. stream, #list > 0 and table.concat(list, ' ', 1, math.min(#list, PREDECESSORS)))
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
  write()
  local all = redis.call('HGETALL', streams)
  local list, count = {}, 0
  for i = 1, #all, 2 do
    local kind, name = string.sub(all[i], 1, 2), string.sub(all[i], 3)
    if kind == 'r:' then count = count + 1 end
    if kind == 'x:' and #list < 1000 then
      list[#list + 1] = name
      list[#list + 1] = (executorOf(all[i + 1]))
    end
  end
  return list, count
end

-- Whether so many requests more are too many. Counted anew where it seems so: that costs, and mends the counter.
local function tooMany(more, most)
  local count = tonumber(get('run') or '0')
  if most == '' or count + more <= tonumber(most) then return nil end
  local list, exactly = running()
  set('run', exactly)
  return exactly + more > tonumber(most) and list or nil
end

function run.open()
  local who, stream, token, known, owned, most = take(), take(), take(), take(), take(), take()
  local requests, messages = takeList(), takeList()
  if who ~= principal then return { 'denied' } end
  if not repeated then
    for _, id in ipairs(requests) do
      local taken = get('r:' .. id)
      if taken then return { 'duplicate', taken, (executorOf(get('x:' .. taken))) } end
    end
    local others = tooMany(#requests, most)
    if others then return { 'limited', unpack(others) } end
    countRunning(#requests)
    local id
    for _, message in ipairs(messages) do id = log(message, 's', stream, 'm', message) end
    set('n:' .. stream, '0:' .. id)
    set('h:' .. stream, node .. ':' .. token)
    set('x:' .. stream, owned == '1' and executorFor(ownerUnless()) or node)
    set('p:' .. stream, #requests)
    for _, request in ipairs(requests) do set('r:' .. request, stream) end
  elseif not get('x:' .. stream) then
    -- The first run refused it, and there is one reason only where no id is taken.
    for _, id in ipairs(requests) do
      if get('r:' .. id) then return { 'duplicate', '', '' } end
    end
    return { most == '' and 'duplicate' or 'limited', '', '' }
  end
  used = true
  if not called then
    called, lengthened = true, true
    redis.call('HSET', record, 'called', '1')
  end
  local executor, begun = executorOf(get('x:' .. stream))
  if begun then check(known) end
  local _, id = position(get('n:' .. stream))
  return { 'opened', '0', id, begun and '' or executor }
end

-- A message of the client for another node. What is big is in the log, where that node reads it.
local function deliver(name, id, message)
  if #message > INLINE_BYTES then tell(channels, name, 'logged ' .. sid .. ' ' .. id)
  else tell(channels, name, 'deliver ' .. sid, message) end
end

function run.receive()
  local who, known, route, argument, message = take(), take(), take(), take(), take()
  if who ~= principal then return { 'denied' } end
  used = true
  local id = not repeated and log(message, 'm', message)
  local here = false
  local chosen, reshaped, unbegun, big = '', '', '', ''
  if route == 'node' then
    here = argument == node
    if not here and not repeated then deliver(argument, id, message) end
  elseif route == 'executor' then
    local stream = get('r:' .. argument)
    local executor, begun = executorOf(stream and get('x:' .. stream))
    here = executor == node and begun
    if not begun then
      unbegun, chosen = stream, executor
    elseif executor ~= '' and not here and not repeated then
      deliver(executor, id, message)
    end
  elseif route == 'replicas' then
    here = hasReplica(reps(), node)
    if not repeated then
      for other in string.gmatch(reps(), '%S+') do
        if other ~= node then deliver(other, id, message) end
      end
    end
  elseif route == 'initialized' then
    local list = reps()
    local handler = node
    if argument == '1' then handler = ownerUnless()
    elseif not hasReplica(list, node) then handler = string.match(list, '%S+') or node end
    here = handler == node
    if not here then chosen = handler end
    if not repeated then
      if not active then
        active, reshaped, lengthened = true, '1', true
        log('', 'k', 'session.initialized', 'by', node)
        revision = redis.call('HINCRBY', record, 'rev', 1)
        redis.call('HSET', record, 'on', '1')
        for other in string.gmatch(list, '%S+') do
          if other ~= node then
            tell(channels, other, 'shape ' .. sid .. ' ' .. revision, other == handler and message or '')
          end
        end
      elseif handler ~= node then
        deliver(handler, id, message)
      end
    end
    if here then check(known) end
  elseif route == 'here' then
    here = true
    check(known)
  elseif route == 'owner' then
    here = ownerUnless() == node
    if here then check(known) else chosen = owner end
    if not here and id and #message > INLINE_BYTES then big = id end
  end
  return { 'received', here and '1' or '', '', chosen, reshaped, unbegun, big }
end

local function shape(effect, value)
  if effect == 'level' then redis.call('HSET', record, 'lvl', value)
  elseif effect == 'subscribe' then redis.call('HSET', record, 'sub:' .. value, '1')
  elseif effect == 'initialize' then
    local heard, rest = split(value, '\n')
    local params, version = split(rest, '\n')
    redis.call('HSET', record, 'hears', heard, 'init', params, 'pv', version)
    hears = heard
  else redis.call('HDEL', record, 'sub:' .. value) end
  revision = redis.call('HINCRBY', record, 'rev', 1)
  tellReplicas(channels, reps(), node, 'shape ' .. sid .. ' ' .. revision)
end

-- Whether a broadcast concerns the session, and is not waiting there unshown already.
local function concerns(stream, condition, value, coalesce)
  if condition == 'hears' and not string.find(hears, value, 1, true) then return false end
  if condition == 'subscribed' and redis.call('HEXISTS', record, 'sub:' .. value) == 0 then return false end
  if condition == 'owned' and owner ~= node then return false end
  if condition == 'after' then
    local before = results[#results]
    if not before or (before[1] ~= 'appended' and before[1] ~= 'opened') then return false end
  end
  if coalesce == '' or get('h:' .. stream) then return true end
  local last = get('c:' .. coalesce)
  if not last then return true end
  local n, id = position(last)
  local written = position(get('w:' .. stream))
  return n <= written or #redis.call('XRANGE', events, id, id) == 0
end

function run.append()
  local stream, ends, asks, effect, effectValue = take(), take(), take(), take(), take()
  local condition, conditionValue, coalesce, has, message = take(), take(), take(), take(), take()
  if repeated then
    -- Whether this node was the owner the first time, nobody knows: its server is not told that it was heard.
    return { condition == 'owned' and owner ~= node and 'skipped' or 'repeated' }
  end
  if fields['n:' .. stream] == nil then
    load({ 'n:' .. stream, 'h:' .. stream, 'x:' .. stream, 'p:' .. stream, 'b:' .. stream })
  end
  local last, holder, executor = get('n:' .. stream), get('h:' .. stream), get('x:' .. stream)
  local pending, before = get('p:' .. stream), get('b:' .. stream)
  if condition == 'unbegun' then
    local name, begun = executorOf(executor)
    if begun then return { 'dropped', name, '1' } end
  elseif stream ~= STANDALONE and executor ~= node then
    return { 'dropped' }
  end
  if ends ~= '' and get('r:' .. ends) ~= stream then return { 'dropped' } end
  if not concerns(stream, condition, conditionValue, coalesce) then return { 'skipped' } end

  local ended = false
  if ends ~= '' then
    ended = tonumber(pending) <= 1
    if ended then dropStream(stream, ends)
    else
      drop({ 'r:' .. ends })
      set('p:' .. stream, tonumber(pending) - 1)
    end
    countRunning(-1)
  end
  local n = position(last) + 1
  local parts = { 's', stream, 'n', n }
  if has == '1' then parts[5] = 'm' parts[6] = message end
  if ended then parts[#parts + 1] = 'e' parts[#parts + 1] = '1' end
  if asks == '1' then parts[#parts + 1] = 'q' parts[#parts + 1] = node end
  local id = log(message, unpack(parts))
  if not ended then set('n:' .. stream, n .. ':' .. id) end
  if coalesce ~= '' then set('c:' .. coalesce, n .. ':' .. id) end
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
    local written = position(get('w:' .. stream))
    if n > written then set('w:' .. stream, n .. ':' .. id) end
  end
  -- Nobody may give the stream back to a connection that has ended.
  local list = get('b:' .. stream)
  local before = predecessors(list, me)
  if get('h:' .. stream) ~= me then
    if list then setBefore(stream, before) end
    return { 'done' }
  end
  local follower = '-'
  if never == '1' and before[1] then
    local back = table.remove(before, 1)
    set('h:' .. stream, back)
    setBefore(stream, before)
    local connection
    follower, connection = split(back, ':')
    -- What was stored meanwhile was announced to a connection that never was.
    local last, lastId = position(get('n:' .. stream))
    tell(channels, follower, table.concat({ 'event', sid, stream, connection, last, lastId, '0', '-', '0', '0' }, ' '))
  else
    set('h:' .. stream, false)
    set('b:' .. stream, false)
  end
  if stream == STANDALONE then
    tellReplicas(channels, reps(), nil, 'followed ' .. sid .. ' ' .. follower)
  end
  return { 'done' }
end

function run.hangup()
  local stream = take()
  local holder = get('h:' .. stream)
  if not holder then return { 'received', '' } end
  local holdingNode, connection = split(holder, ':')
  if holdingNode == node then return { 'received', '1', connection } end
  if not repeated then tell(channels, holdingNode, 'hangup ' .. sid .. ' ' .. stream .. ' ' .. connection) end
  return { 'received', '' }
end

local function requestsOf(stream)
  local list = {}
  write()
  local all = redis.call('HGETALL', streams)
  for i = 1, #all, 2 do
    if all[i + 1] == stream and string.sub(all[i], 1, 2) == 'r:' then
      list[#list + 1] = string.sub(all[i], 3)
    end
  end
  return list
end

function run.claim()
  local stream, from, known, owned = take(), take(), take(), take()
  local field = get('x:' .. stream)
  local executor, begun = executorOf(field)
  local other = ''
  if repeated then
    if not begun then other = executor end
    if not field or (begun and executor ~= node) then return { 'dropped', executor, begun and '1' or '' } end
  else
    if executor ~= from then return { 'dropped', executor, begun and '1' or '' } end
    field = node
    if owned == '1' then field, other = executorFor(ownerUnless(from)) end
    set('x:' .. stream, field)
    if other ~= '' then set('a:' .. stream, '1') end
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
  local field = get('x:' .. stream)
  if not field then return { 'dropped' } end
  local executor, begun = executorOf(field)
  -- A repeat has begun it only if it did so the first time: an earlier commit of this node may have.
  local mine = repeated and field == node and get('d:' .. stream) == ARGV[2]
  if not repeated and not begun then
    field = executorFor(ownerUnless(dead))
    set('x:' .. stream, field)
    set('d:' .. stream, ARGV[2])
    executor, begun = executorOf(field)
    mine = begun
  end
  if not mine then return { 'assigned', executor, begun and '1' or '' } end
  check(known)
  local again = get('a:' .. stream)
  return { 'assigned', executor, '1', again and 'again' or '1', unpack(requestsOf(stream)) }
end

function run.release()
  local stream = take()
  if repeated or get('x:' .. stream) ~= node then return { 'done' } end
  set('x:' .. stream, '-')
  local holder = get('h:' .. stream)
  if holder then
    local holdingNode, connection = split(holder, ':')
    if holdingNode ~= node then tell(channels, holdingNode, 'orphaned ' .. sid .. ' ' .. stream .. ' ' .. connection) end
  end
  return { 'done' }
end

function run.abandon()
  local stream = take()
  local requests = takeList()
  local executor, begun = executorOf(get('x:' .. stream))
  -- Begun by nobody, it is still the one's who opened it.
  if not repeated and (not begun or executor == node) then
    for _, request in ipairs(requests) do
      if get('r:' .. request) then
        drop({ 'r:' .. request })
        countRunning(-1)
      end
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
    set('reps', table.concat(left, ' '))
    if owner == node then
      owner = ''
      redis.call('HDEL', record, 'own')
    end
  end
  return { 'done' }
end

function run.note()
  local kind, stream, request, from, dependent = take(), take(), take(), take(), take()
  if repeated then return { 'done' } end
  if dependent == '1' and results[#results][1] ~= 'appended' then return { 'skipped' } end
  local parts = { 'k', kind, 'by', node, 's', stream, 'r', request }
  if from ~= '' then parts[9] = 'f' parts[10] = from end
  log('', unpack(parts))
  return { 'done' }
end

while at <= #ARGV do results[#results + 1] = run[take()]() end
-- Last: a script that failed in the middle has not been carried out, and may not be taken for a repeat.
if not repeated then
  set(mark, number)
  set('bytes', bytes)
end

local ttl = tonumber((active or called) and ARGV[4] or ARGV[5])
-- Of the clock of Redis, as text: a number of so many digits would be written with an exponent.
local time = logged and string.match(logged, '^%d+')
local function isDue(name, every)
  local elapsed = time and tonumber(time) - tonumber(fields[name] or '0')
  return not elapsed or elapsed < 0 or elapsed >= every
end
if used and (lengthened or isDue('kept', slackOf(ttl))) then
  redis.call('HSET', record, 'seen', now)
  expireIn(record, ttl)
  expireIn(streams, ttl)
  if time then set('kept', time) end
end
if logged then
  local from = tonumber(fields.from or '0')
  local oldest = ARGV[10] == '' and from or trimBytes(events, bytes, from, tonumber(ARGV[10]), logged)
  if oldest ~= from then set('from', oldest) end
  if lengthened or isDue('trimmed', slackOf(math.min(ttl, maxAge))) then
    if maxAge > 0 then
      redis.call('XTRIM', events, 'MINID', string.format('%.0f', tonumber(time) - maxAge))
    end
    expireIn(events, math.min(ttl, maxAge))
    set('trimmed', time)
  end
end
write()
if not stale then return { 'ok', tostring(revision), '', '', results } end
return { 'ok', tostring(revision), redis.call('HGETALL', record), redis.call('HGET', streams, 'h:' .. STANDALONE) or '', results }
