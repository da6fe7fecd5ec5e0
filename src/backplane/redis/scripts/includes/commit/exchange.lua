-- The operation `exchange`: it logs a request together with its answer.

--- @include "commit/refusals"
--- @include "commit/replicas"
--- @include "commit/step"
--- @include "commit/write-log"

-- The most bytes of the field `refused`, with the last streams of some fifty nodes.
local MOST_REFUSED_STREAMS = 2000

-- An exchange leaves no stream, so a repeat finds nothing that tells whether the first run has logged it. The field `refused` keeps the
-- streams of those that were refused.
local function noteRefused(stream)
  local names = stream .. ' ' .. (get('refused') or '')
  if #names > MOST_REFUSED_STREAMS then names = string.match(string.sub(names, 1, MOST_REFUSED_STREAMS), '^(.*) ') or '' end
  set('refused', names)
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
  local requests = { request }
  if step.repeated then
    if not string.find(' ' .. (get('refused') or ''), ' ' .. stream .. ' ', 1, true) then
      step.used = true
      return { 'repeated' }
    end
    return known ~= step.revision and { 'stale' } or refusedBefore(requests, most)
  end
  local refusal = refusalOf(requests, most) or (known ~= step.revision and { 'stale' })
  if refusal then
    noteRefused(stream)
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
