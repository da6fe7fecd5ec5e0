-- The operation `append`: it logs a message of the server.

--- @include "commit/owner"
--- @include "commit/replicas"
--- @include "commit/running-streams"
--- @include "commit/step"
--- @include "commit/write-log"
--- @include "session-keys"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

-- Changes the shape of the session, and tells the other nodes with a replica. `value` is the level or the URI. For `initialize` it is
-- three lines: the lists whose changes the server announces, the params, and the protocol version.
local function shape(effect, value, seal)
  if effect == 'level' then redis.call('HSET', step.record, 'lvl', value)
  elseif effect == 'subscribe' then redis.call('HSET', step.record, 'sub:' .. value, seal ~= '' and seal or '1')
  elseif effect == 'initialize' then
    local heard, params, version = string.match(value, '^(.-)\n(.-)\n(.*)$')
    -- The params that were stored before may have been split into pieces.
    for piece = 1, 9 do redis.call('HDEL', step.record, 'init' .. piece) end
    redis.call('HSET', step.record, 'hears', heard, 'init', params, 'pv', version)
    step.hears = heard
  else
    redis.call('HDEL', step.record, 'sub:' .. value)
    -- The session hears no more of this resource. Messages about it were coalesced by this key.
    set('c:sub:' .. value, false)
  end
  tellNodes(step.channels, get('reps'), step.node, 'shape ' .. step.sid .. ' ' .. revise())
end

-- Returns whether this node executes the stream. If this node is to begin the stream, its message begins it. Such a node has begun the
-- stream before, and a failover has lost that step, perhaps together with the node's name in the list of replicas.
local function executesOrBegins(stream)
  local name, begun = executorOf(get('x:' .. stream))
  if begun or name ~= step.node or (step.owner ~= step.node and step.owner ~= '') then return begun and name == step.node end
  -- The server object of such a node runs the request, so the reply does not say that the node has become the owner.
  if step.owner == '' then setOwner() end
  set('x:' .. stream, step.node)
  set('d:' .. stream, step.number)
  addReplica()
  return true
end

-- Returns whether the server object that has sent a message is from an earlier time as owner. It is if this node does not own the
-- session, or if this commit has made the node the owner again, because any server object was built before that.
local function isFormerOwner() return step.owner ~= step.node or becameOwner() end

-- Returns whether a message is to be logged: its condition holds, and no message of its kind is waiting for the client already.
local function concerns(stream, condition, value, coalesce)
  if condition == 'hears' and not string.find(step.hears, value, 1, true) then return false end
  if condition == 'subscribed' and redis.call('HEXISTS', step.record, 'sub:' .. value) == 0 then return false end
  if condition == 'owned' and isFormerOwner() then return false end
  if condition == 'executes' and not executesOrBegins(value) then return false end
  if condition == 'after' then
    local before = step.results[#step.results]
    if not before or (before[1] ~= 'appended' and before[1] ~= 'opened') then return false end
  end
  if coalesce == '' or get('h:' .. stream) then return true end
  local last = get('c:' .. coalesce)
  if not last then return true end
  local n, id = position(last)
  local written = position(get('w:' .. stream))
  return n <= math.max(written, whole(get('m:' .. stream))) or (get('first') or #(onLog('XRANGE', step.events, id, id) or {}) == 0)
end

function operations.append()
  local stream, ends, mark, effect, effectValue, seal, condition, conditionValue, coalesce, has, message = take(11)
  if step.repeated then
    -- A repeat cannot know whether this node was the owner or the executor in the first run. If another node is now, the answer is not
    -- that the message was logged. If there is no executor, the call has ended meanwhile, and it may have been this node's.
    local executor = condition == 'executes' and get('x:' .. conditionValue)
    if condition == 'owned' and isFormerOwner() or executor and executor ~= step.node then return { 'skipped' } end
    -- The first run would have ended the request. The request still runs, so another node executed the stream then, and does now.
    if ends ~= '' and get('r:' .. ends) == stream and condition ~= 'unbegun' then return droppedBy(stream) end
    return { 'repeated' }
  end
  local last, holder = get('n:' .. stream), get('h:' .. stream)
  if condition == 'unbegun' then
    local name, begun = executorOf(get('x:' .. stream))
    if begun then return { 'dropped', name, '1' } end
  elseif stream ~= STANDALONE and not executesOrBegins(stream) then
    return droppedBy(stream)
  end
  if ends ~= '' and get('r:' .. ends) ~= stream then
    return { 'dropped', condition ~= 'unbegun' and step.node or '', '1' }
  end
  if not concerns(stream, condition, conditionValue, coalesce) then return { 'skipped' } end

  local ended, before = false, nil
  if ends ~= '' then
    local pending = whole(get('p:' .. stream))
    ended = pending <= 1
    if ended then
      before = get('b:' .. stream)
      dropStream(stream, ends)
    else
      drop({ 'r:' .. ends })
      set('p:' .. stream, pending - 1)
    end
    countRunning(-1)
    if mark == 'f' then redis.call('HSET', step.record, 'errs', whole(redis.call('HGET', step.record, 'errs')) + 1) end
  end
  local lastN, lastId = position(last)
  local n = lastN + 1
  local parts, length = { 's', stream, 'n', n }, 4
  if has == '1' then parts[5], parts[6] = 'm', message length = 6 end
  -- The entry of a plain call needs neither `by` nor `h`: the name of its stream begins with this node, which also has the connection.
  if string.sub(stream, 1, #step.node) ~= step.node then
    parts[length + 1], parts[length + 2] = 'by', step.node
    length = length + 2
  end
  local holdingNode, connection
  if holder then holdingNode, connection = split(holder, ':') end
  if holdingNode ~= step.node then
    parts[length + 1], parts[length + 2] = 'h', holdingNode or '-'
    length = length + 2
  end
  if mark == '1' then parts[length + 1], parts[length + 2] = 'q', step.node length = length + 2 end
  -- The field e comes last, because `log` looks for it there.
  if ended then parts[length + 1], parts[length + 2] = 'e', '1' end
  if effect == 'initialize' and step.outbox then
    local _, params = string.match(effectValue, '^(.-)\n(.-)\n(.*)$')
    step.outbox.initialize = params
  end
  local id = log(message, unpack(parts))
  if not ended then set('n:' .. stream, n .. ':' .. id) end
  if coalesce ~= '' then set('c:' .. coalesce, n .. ':' .. id) end
  if effect ~= '' then shape(effect, effectValue, seal) end

  -- The log id of the message before. The connection compares it with the message that it has shown last.
  local previous = lastN > 0 and lastId or ''
  local token = ''
  if holder then
    if holdingNode == step.node then
      token = connection
    else
      local inline = #message <= INLINE_BYTES
      tell(step.channels, holdingNode, table.concat({ 'event', step.sid, stream, connection, n, id, ended and '1' or '0',
        mark == '1' and step.node or '-', inline and '1' or '0', has == '1' and '1' or '0', previous }, ' '), inline and message or '')
    end
  end
  if ended and before then
    -- The connection that holds the stream may never be used. Its node would then give the stream back to an earlier holder, but the
    -- stream is gone by then. So each earlier holder is told of the end now.
    for _, other in ipairs(predecessors(before)) do
      local itsNode, connection = split(other, ':')
      tell(step.channels, itsNode, table.concat({ 'event', step.sid, stream, connection, n, id, '1', '-', '0', '0' }, ' '))
    end
  end
  return { 'appended', tostring(n), id, token, ended and '1' or '', token ~= '' and previous or '' }
end
