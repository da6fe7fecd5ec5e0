-- Streams that have running requests.

--- @include "commit/step"
--- @include "stored-values"
--- @include "streams-hash"

local function countRunning(more)
  set('run', whole(get('run')) + more)
end

-- Removes the fields of a stream, and that of its last request.
local function dropStream(stream, request)
  local names = { 'n:' .. stream, 'h:' .. stream, 'x:' .. stream, 'p:' .. stream, 'b:' .. stream, 'a:' .. stream,
    'd:' .. stream, 'o:' .. stream }
  if request then names[9] = 'r:' .. request end
  drop(names)
end

-- Returns the result of an operation that this node may not do because it does not execute the stream. The result names the
-- node that does or is to, and says whether it has begun, and whether another node had begun before. The name is '' if there is
-- no such stream.
local function droppedBy(stream)
  local name, begun = executorOf(get('x:' .. stream))
  return { 'dropped', name, begun and '1' or '', not begun and get('a:' .. stream) or '' }
end
