-- The operations `detach` and `hangup`, about the connections that follow streams.

--- @include "commit/step"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

-- Sets the field b:<stream> to a list of earlier holders.
local function setBefore(stream, list)
  set('b:' .. stream, #list > 0 and table.concat(list, ' ', 1, math.min(#list, PREDECESSORS)))
end

function operations.detach()
  local stream, token, n, id, never = take(5)
  n = tonumber(n)
  if step.repeated then return { 'done' } end
  local me = step.node .. ':' .. token
  if stream == STANDALONE then
    local written = position(get('w:' .. stream))
    if n > written then set('w:' .. stream, n .. ':' .. id) end
  end
  -- This connection has ended. It leaves the list, so that no later holder gives the stream back to it.
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
    -- The messages that were logged meanwhile were announced to the connection that was never used. So the earlier connection is told of
    -- the last message, and reads the others from the log.
    local last, lastId = position(get('n:' .. stream))
    tell(step.channels, follower, table.concat({ 'event', step.sid, stream, connection, last, lastId, '0', '-', '0', '0' }, ' '))
  else
    set('h:' .. stream, false)
    set('b:' .. stream, false)
  end
  if stream == STANDALONE then
    tellNodes(step.channels, get('reps'), nil, 'followed ' .. step.sid .. ' ' .. follower)
  end
  return { 'done' }
end

function operations.hangup()
  local stream = take(1)
  local holder = get('h:' .. stream)
  if not holder then return { 'received', '' } end
  local holdingNode, connection = split(holder, ':')
  if holdingNode == step.node then return { 'received', '1', connection } end
  if not step.repeated then tell(step.channels, holdingNode, 'hangup ' .. step.sid .. ' ' .. stream .. ' ' .. connection) end
  return { 'received', '' }
end
