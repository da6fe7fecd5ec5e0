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
  if #message > INLINE_BYTES then tell(channels, name, 'logged ' .. sid .. ' ' .. id)
  else tell(channels, name, 'deliver ' .. sid, message) end
end

-- Logs `initialized` and the event that it came. Both are added to a log that is still a string, unless that would exceed a bound of
-- the log.
local function logHandshake(message)
  local count, last = position(fields.first)
  local size = bytes + 2 * ENTRY_BYTES + #message
  local most = math.min(FIRST_BYTES, tonumber(ARGV[3]) or FIRST_BYTES)
  if not fields.first or count + 2 > tonumber(maxEvents) or size > most then
    log(message, 'm', message)
    log('', 'k', 'session.initialized', 'by', node)
    return
  end
  local ms, counter = nextId(last)
  logged = ms .. '-' .. counter
  local lastId = ms .. '-' .. (counter + 1)
  setYoungLog(events, youngLog(events) .. firstEntry(logged, message, 'o', bytes) ..
    firstEntry(lastId, nil, 'o', bytes + ENTRY_BYTES + #message, 'k', 'session.initialized', 'by', node))
  set('first', (count + 2) .. ':' .. lastId)
  bytes = size
end

local function receive()
  local who, known, route, argument, message = take(5)
  if who ~= principal then return { 'denied' } end
  used = true
  local ends = route == 'initialized' and not active
  local id = not repeated and not ends and log(message, 'm', message)
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
    elseif executor ~= '' and not here then
      -- A repeat sends it too, since the request may not have begun when the script first ran. It does no harm to hear of a
      -- cancellation twice.
      if repeated then tell(channels, executor, 'deliver ' .. sid, message) else deliver(executor, id, message) end
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
    if argument == '1' then handler = takeOwnershipIfFree()
    elseif not hasReplica(list, node) then handler = string.match(list, '%S+') or node end
    -- A repeat of the step that made the session active returns the same, whichever nodes have replicas by now.
    local mine = node .. ':' .. number .. ' '
    local made = repeated and get('ini')
    if made and string.sub(made, 1, #mine) == mine then handler, reshaped = string.sub(made, #mine + 1), '1' end
    here = handler == node
    if not here then chosen = handler end
    if not repeated then
      if ends then
        active, reshaped, lengthened = true, '1', true
        set('ini', mine .. handler)
        logHandshake(message)
        redis.call('HSET', record, 'on', '1')
        revise()
        for other in string.gmatch(list, '%S+') do
          if other ~= node then
            tell(channels, other, 'shape ' .. sid .. ' ' .. revision, other == handler and message or '')
          end
        end
      elseif handler ~= node then
        deliver(handler, id, message)
      end
    end
    if here then registerReplica(known) end
  elseif route == 'here' then
    here = true
    registerReplica(known)
  elseif route == 'owner' then
    here = takeOwnershipIfFree() == node
    if here then registerReplica(known) else chosen = owner end
    if not here and id and #message > INLINE_BYTES then big = id end
  end
  return { 'received', here and '1' or '', '', chosen, reshaped, unbegun, big }
end
