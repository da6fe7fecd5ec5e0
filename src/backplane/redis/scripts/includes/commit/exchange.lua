-- The operation `exchange`: it logs a request together with its answer.

--- @include "commit/replicas"
--- @include "commit/running-limit"
--- @include "commit/step"
--- @include "commit/write-log"
--- @include "streams-hash"

-- The most bytes of the field `unlogged`, with the last streams of some fifty nodes.
local MOST_UNLOGGED = 2000

-- Returns why the request and its answer are not to be logged, or nil. `request` is the field of the request's id.
local function refusalOf(request, known, most)
  local taken = get(request)
  if taken then return { 'duplicate', taken, (executorOf(get('x:' .. taken))) } end
  local others = tooMany(1, most)
  if others then return { 'limited', unpack(others) } end
  return known ~= step.revision and { 'stale' } or nil
end

-- A repeat must not say that what the first run has refused was logged. So a refusal leaves the name of its stream.
local function noteUnlogged(stream)
  local names = stream .. ' ' .. (get('unlogged') or '')
  if #names > MOST_UNLOGGED then names = string.match(string.sub(names, 1, MOST_UNLOGGED), '^(.*) ') or '' end
  set('unlogged', names)
end

-- `traced`: the trace of the request is the last argument.
local function exchange(traced)
  local who, stream, request, known, most, failed, message, answer = take(8)
  local trace = traced and take(1)
  if who ~= step.principal then return { 'denied' } end
  if step.isFull then
    step.refused = true
    return { 'full' }
  end
  request = 'r:' .. request
  if step.repeated then
    if not string.find(' ' .. (get('unlogged') or ''), ' ' .. stream .. ' ', 1, true) then
      step.used = true
      return { 'repeated' }
    end
    if known ~= step.revision then return { 'stale' } end
    return { (most == '' or get(request)) and 'duplicate' or 'limited', '', '' }
  end
  local refusal = refusalOf(request, known, most)
  if refusal then
    noteUnlogged(stream)
    return refusal
  end
  local asked
  if trace then asked = log(message, 's', stream, 'm', message, 't', trace)
  else asked = log(message, 's', stream, 'm', message) end
  local answered = log(answer, 's', stream, 'n', '1', 'm', answer, 'e', '1')
  if failed == '1' then redis.call('HINCRBY', step.record, 'errs', 1) end
  step.used = true
  if not step.called then
    step.called, step.lengthened = true, true
    redis.call('HSET', step.record, 'called', '1')
  end
  addReplica()
  return { 'exchanged', asked, answered }
end

function operations.exchange() return exchange(false) end
operations['exchange-traced'] = function() return exchange(true) end
