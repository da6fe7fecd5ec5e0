-- `detach` and `hangup`: of the connections that follow streams.

--- @include "commit/step"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

-- The field b:<stream> of the connections from which its holder took it.
local function setBefore(stream, list)
  set('b:' .. stream, #list > 0 and table.concat(list, ' ', 1, math.min(#list, PREDECESSORS)))
end

local function detach()
  local stream, token, n, id, never = take(5)
  n = tonumber(n)
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
    tellNodes(channels, get('reps'), nil, 'followed ' .. sid .. ' ' .. follower)
  end
  return { 'done' }
end

local function hangup()
  local stream = take(1)
  local holder = get('h:' .. stream)
  if not holder then return { 'received', '' } end
  local holdingNode, connection = split(holder, ':')
  if holdingNode == node then return { 'received', '1', connection } end
  if not repeated then tell(channels, holdingNode, 'hangup ' .. sid .. ' ' .. stream .. ' ' .. connection) end
  return { 'received', '' }
end
