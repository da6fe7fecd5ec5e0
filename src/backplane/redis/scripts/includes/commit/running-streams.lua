-- Streams whose requests run.

--- @include "commit/step"
--- @include "stored-values"
--- @include "streams-hash"

local function countRunning(more)
  set('run', whole(get('run')) + more)
end

local function dropStream(stream, request)
  local names = { 'n:' .. stream, 'h:' .. stream, 'x:' .. stream, 'p:' .. stream, 'b:' .. stream, 'a:' .. stream,
    'd:' .. stream }
  if request then names[8] = 'r:' .. request end
  drop(names)
end

-- Another node executes the stream, or is to, perhaps as one that another one had begun; or there is none.
local function droppedBy(stream)
  local name, begun = executorOf(get('x:' .. stream))
  return { 'dropped', name, begun and '1' or '', not begun and get('a:' .. stream) or '' }
end
