-- The operations that decide which node executes the requests of a stream: `claim`, `assign`, `release`, `abandon`, `forget`. And
-- `note`, which logs what has happened to a request.

--- @include "commit/owner"
--- @include "commit/replicas"
--- @include "commit/running-streams"
--- @include "commit/step"
--- @include "commit/write-log"
--- @include "dead-nodes"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

-- Returns the ids of the running requests of a stream.
local function requestsOf(stream)
  local list = {}
  write()
  local all = redis.call('HGETALL', step.streams)
  for i = 1, #all, 2 do
    if all[i + 1] == stream and string.sub(all[i], 1, 2) == 'r:' then
      list[#list + 1] = string.sub(all[i], 3)
    end
  end
  return list
end

-- Takes a stream from its executor. The node that follows the stream is told, so that it ends the requests or has them run again at
-- once. The node `knows` is not told.
local function giveUp(stream, field, knows)
  set('x:' .. stream, field)
  local holder = get('h:' .. stream)
  if not holder then return end
  local holdingNode, connection = split(holder, ':')
  if holdingNode ~= knows then tell(step.channels, holdingNode, 'orphaned ' .. step.sid .. ' ' .. stream .. ' ' .. connection) end
end

-- Makes this node the owner if no node or the node `dead` owns the session, and returns the owner. It takes from a former owner the
-- streams that it has begun, but for `except`. The former owner may only have been paused, but its server object is outdated now.
local function succeed(dead, except)
  local former = step.owner
  local now = takeOwnershipIfFree(dead)
  if former == '' or now == former then return now end
  write()
  local all = redis.call('HGETALL', step.streams)
  for i = 1, #all, 2 do
    local stream = string.sub(all[i], 3)
    if all[i + 1] == former and string.sub(all[i], 1, 2) == 'x:' and stream ~= except then
      giveUp(stream, RELEASED .. former)
    end
  end
  return now
end

function operations.claim()
  local stream, from, lookedAt, known, owned = take(5)
  local field = get('x:' .. stream)
  local executor, begun = executorOf(field)
  local other = ''
  if step.repeated then
    -- If the first run gave the stream to another node, it set the field a:<stream>. Without that field, the first run changed nothing.
    if not begun then other = executor end
    if not field or (begun and executor ~= step.node) or (not begun and not get('a:' .. stream)) then
      return droppedBy(stream)
    end
  else
    -- A new owner may have taken the stream from the node `from`, and have left its name. The stream can be claimed all the same, but
    -- not by `from` itself.
    local isReleased = from ~= step.node and executor == RELEASED .. from
    if executor ~= from and not isReleased then return droppedBy(stream) end
    if executor == from and isStale(lookedAt) then return { 'stale' } end
    field = step.node
    if owned == '1' then field, other = executorFor(succeed(from, stream)) end
    set('x:' .. stream, field)
    if other ~= '' then set('a:' .. stream, '1') end
  end
  if other == '' then registerReplica(known) end
  return { 'claimed', other, get('o:' .. stream) or '', unpack(requestsOf(stream)) }
end

function operations.assign()
  local stream, dead, lookedAt, known = take(4)
  local isLate = not step.repeated and step.owner ~= '' and step.owner == dead and isStale(lookedAt)
  if stream == '' then
    if isLate then return { 'stale' } end
    succeed(dead)
    if step.owner == step.node then registerReplica(known) end
    return { 'assigned', step.owner, '' }
  end
  local field = get('x:' .. stream)
  if not field then return { 'dropped' } end
  local executor, begun = executorOf(field)
  -- In a repeat, the field d:<stream> says whether it was this commit that made this node begin the stream, or another one.
  local mine = step.repeated and field == step.node and get('d:' .. stream) == step.number
  if not step.repeated and not begun then
    if isLate then return { 'stale' } end
    field = executorFor(succeed(dead))
    set('x:' .. stream, field)
    set('d:' .. stream, step.number)
    executor, begun = executorOf(field)
    mine = begun
  end
  if not mine then return { 'assigned', executor, begun and '1' or '' } end
  registerReplica(known)
  local again = get('a:' .. stream)
  local _, logId = position(get('n:' .. stream))
  return { 'assigned', executor, '1', again and 'again' or '1', logId, unpack(requestsOf(stream)) }
end

function operations.release()
  local stream = take(1)
  if step.repeated or get('x:' .. stream) ~= step.node then return { 'done' } end
  giveUp(stream, RELEASED, step.node)
  return { 'done' }
end

function operations.abandon()
  local stream = take(1)
  local requests = takeList()
  local executor, begun = executorOf(get('x:' .. stream))
  -- A stream that no node has begun still belongs to the node that opened it.
  if not step.repeated and (not begun or executor == step.node) then
    for _, request in ipairs(requests) do
      if get('r:' .. request) then
        drop({ 'r:' .. request })
        countRunning(-1)
      end
    end
    dropStream(stream)
  end
  return { 'done' }
end

function operations.forget()
  if not step.repeated then
    local left = {}
    for other in string.gmatch(reps(), '%S+') do
      if other ~= step.node then left[#left + 1] = other end
    end
    set('reps', table.concat(left, ' '))
    if step.owner == step.node then
      step.owner = ''
      redis.call('HDEL', step.record, 'own')
    end
  end
  return { 'done' }
end

function operations.note()
  local kind, stream, request, from, dependent = take(5)
  if step.repeated then return { 'done' } end
  local before = step.results[#step.results]
  if dependent == '1' and (not before or before[1] ~= 'appended') then return { 'skipped' } end
  local parts = { 'k', kind, 'by', step.node, 's', stream, 'r', request }
  if from ~= '' then parts[9] = 'f' parts[10] = from end
  log('', unpack(parts))
  return { 'done' }
end
