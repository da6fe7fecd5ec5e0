-- The operation `open`: it opens a stream for a POST with requests.

--- @include "commit/owner"
--- @include "commit/refusals"
--- @include "commit/replicas"
--- @include "commit/running-streams"
--- @include "commit/step"
--- @include "commit/write-log"
--- @include "stored-values"
--- @include "streams-hash"

-- Opens a stream. `traced`: the trace of the requests is the last argument.
local function open(traced)
  local who, stream, token, known, owned, most = take(6)
  local requests, messages = takeList(), takeList()
  local trace = traced and take(1)
  if who ~= step.principal then return { 'denied' } end
  if step.isFull then
    step.refused = true
    return { 'full' }
  end
  local executor, id = step.node, nil
  if not step.repeated then
    local refusal = refusalOf(requests, most)
    if refusal then return refusal end
    countRunning(#requests)
    for i = 1, #messages do
      if trace then id = log(messages[i], 's', stream, 'm', messages[i], 't', trace)
      else id = log(messages[i], 's', stream, 'm', messages[i]) end
    end
    if trace then set('o:' .. stream, trace) end
    if owned == '1' then executor = executorFor(takeOwnershipIfFree()) end
    set('n:' .. stream, '0:' .. id)
    set('h:' .. stream, step.node .. ':' .. token)
    set('x:' .. stream, executor)
    set('p:' .. stream, #requests)
    for i = 1, #requests do set('r:' .. requests[i], stream) end
  else
    executor = get('x:' .. stream)
    if not executor then return refusedBefore(requests, most) end
    -- The connection has shown nothing. If a message was logged since the first run, it begins before that one.
    local n, logId = position(get('n:' .. stream))
    id = n == 0 and logId or '0-0'
  end
  step.used = true
  if not step.called then
    step.called, step.lengthened = true, true
    redis.call('HSET', step.record, 'called', '1')
  end
  local name, begun = executorOf(executor)
  if begun then registerReplica(known) end
  return { 'opened', '0', id, begun and '' or name }
end

function operations.open() return open(false) end
function operations.traced() return open(true) end
