-- The operation `receive`: it logs a message of the client that opens no stream, and sends it to the node that needs it.

--- @include "commit/owner"
--- @include "commit/replicas"
--- @include "commit/step"
--- @include "commit/write-log"
--- @include "log-entry"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"
--- @include "young-log"

-- Sends a message of the client to another node. That node reads a big message from the log.
local function deliver(name, id, message)
  if #message > INLINE_BYTES then tell(step.channels, name, 'logged ' .. step.sid .. ' ' .. id)
  else tell(step.channels, name, 'deliver ' .. step.sid, message) end
end

-- Logs the message `initialized`, and the note `session.initialized`. If the log is still a string, it stays one, unless both entries
-- would exceed a bound of the log.
local function logHandshake(message)
  local count, last = position(fields.first)
  local size = step.bytes + 2 * ENTRY_BYTES + #message
  local most = math.min(FIRST_BYTES, tonumber(ARGV[3]) or FIRST_BYTES)
  if not fields.first or count + 2 > tonumber(step.maxEvents) or size > most then
    log(message, 'm', message)
    log('', 'k', 'session.initialized', 'by', step.node)
    return
  end
  local ms, counter = nextId(last)
  step.logged = ms .. '-' .. counter
  local lastId = ms .. '-' .. (counter + 1)
  setYoungLog(step.events, youngLog(step.events) .. firstEntry(step.logged, message, 'o', step.bytes) ..
    firstEntry(lastId, nil, 'o', step.bytes + ENTRY_BYTES + #message, 'k', 'session.initialized', 'by', step.node))
  if step.outbox then
    step.outbox.copy(step.logged, message, 'm', message)
    step.outbox.copy(lastId, nil, 'k', 'session.initialized', 'by', step.node)
  end
  set('first', (count + 2) .. ':' .. lastId)
  step.bytes = size
end

function operations.receive()
  local who, known, route, argument, message = take(5)
  if who ~= step.principal then return { 'denied' } end
  if step.isFull then
    step.refused = true
    return { 'full' }
  end
  step.used = true
  local ends = route == 'initialized' and not step.active
  local id = not step.repeated and not ends and log(message, 'by', step.node, 'm', message)
  local here = false
  local chosen, reshaped, unbegun, big = '', '', '', ''
  if route == 'node' then
    here = argument == step.node
    if not here and not step.repeated then deliver(argument, id, message) end
  elseif route == 'executor' then
    local stream = get('r:' .. argument)
    local executor, begun = executorOf(stream and get('x:' .. stream))
    here = executor == step.node and begun
    if not begun then
      unbegun, chosen = stream, executor
    elseif executor ~= '' and not here then
      -- A repeat sends the message too, since the request may not have begun when the script first ran. A cancellation that arrives
      -- twice does no harm.
      if step.repeated then tell(step.channels, executor, 'deliver ' .. step.sid, message) else deliver(executor, id, message) end
    end
  elseif route == 'replicas' then
    here = hasReplica(reps(), step.node)
    if not step.repeated then
      for other in string.gmatch(reps(), '%S+') do
        if other ~= step.node then deliver(other, id, message) end
      end
    end
  elseif route == 'initialized' then
    local list = reps()
    local handler = step.node
    if argument == '1' then handler = takeOwnershipIfFree()
    elseif not hasReplica(list, step.node) then handler = string.match(list, '%S+') or step.node end
    -- A repeat of the step that made the session active returns the same, whichever nodes have replicas by now.
    local mine = step.node .. ':' .. step.number .. ' '
    local made = step.repeated and get('ini')
    if made and string.sub(made, 1, #mine) == mine then handler, reshaped = string.sub(made, #mine + 1), '1' end
    here = handler == step.node
    if not here then chosen = handler end
    if not step.repeated then
      if ends then
        step.active, reshaped, step.lengthened = true, '1', true
        set('ini', mine .. handler)
        logHandshake(message)
        redis.call('HSET', step.record, 'on', '1')
        revise()
        for other in string.gmatch(list, '%S+') do
          if other ~= step.node then
            tell(step.channels, other, 'shape ' .. step.sid .. ' ' .. step.revision, other == handler and message or '')
          end
        end
      elseif handler ~= step.node then
        deliver(handler, id, message)
      end
    end
    if here then registerReplica(known) end
  elseif route == 'here' then
    here = true
    registerReplica(known)
  elseif route == 'owner' then
    here = takeOwnershipIfFree() == step.node
    if here then registerReplica(known) else chosen = step.owner end
    if not here and id and #message > INLINE_BYTES then big = id end
  end
  return { 'received', here and '1' or '', '', chosen, reshaped, unbegun, big }
end
