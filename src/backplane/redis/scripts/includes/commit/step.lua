-- The state of one step of a node in a session: its arguments, what it has read, and what it has done so far. The operations of the
-- step and its end read and change it.

--- @include "session-keys"
--- @include "stored-values"

local record, streams, events = sessionKeys()
-- It is one table, since a function takes time for each variable of other functions that it uses.
local step = {
  node = ARGV[1],
  number = ARGV[2],
  maxEvents = ARGV[6],
  channels = ARGV[8],
  sid = ARGV[9],
  -- Keys.
  record = record,
  streams = streams,
  events = events,
  -- Fields of the record. The revision stays text, and so do numbers of the streams hash, since Lua formats a number anew each time
  -- it is passed to Redis.
  revision = '',
  principal = '',
  hears = '',
  owner = '',
  active = false,
  called = false,
  -- Whether an earlier run of this script has carried out this commit, and its reply was lost. A repeat changes nothing.
  repeated = false,
  -- How many bytes have ever been logged, and how many of them before this step.
  bytes = 0,
  bytesBefore = 0,
  -- The log id of the first entry of this step.
  logged = false,
  -- A client has used the session, so its life begins anew.
  used = false,
  -- The session has a longer time to live from now on.
  lengthened = false,
  -- This commit has made the node the owner of the session.
  becameOwner = false,
  -- The caller does not know the current revision, so the reply has the record.
  stale = false,
  -- The outbox of the audit trail, or nil. Each entry of the log is copied into it.
  outbox = nil,
  -- Whether the outbox is full, so that `open` and `receive` are refused, and whether one of them was.
  isFull = false,
  refused = false,
  -- The results of the operations so far.
  results = {},
}

-- The operations that a script knows, by their names in the arguments. Each takes its arguments and returns its result.
local operations = {}

-- Fields of the streams hash that this step has read or set: a value, or false for a missing field. Changes are buffered, and
-- written with one HDEL and one HSET at the end of the step, or before an operation that reads the whole hash.
local fields, changed = {}, {}

local function get(name)
  local value = fields[name]
  if value == nil then
    value = redis.call('HGET', step.streams, name)
    fields[name] = value
  end
  return value
end

-- Sets a field of the streams hash; false as the value removes it.
local function set(name, value)
  fields[name], changed[name] = value, true
end

-- Removes fields at once. A full Redis refuses only the first write of a script, and only if that write needs memory. So a step that
-- begins with this removal can store the answer to a call even then.
local function drop(names)
  redis.call('HDEL', step.streams, unpack(names))
  for i = 1, #names do fields[names[i]], changed[names[i]] = false, nil end
end

-- Sends a command on the streams hash, several times if the list has more items than Lua can unpack.
local function send(command, list)
  for from = 1, #list, 1000 do redis.call(command, step.streams, unpack(list, from, math.min(from + 999, #list))) end
end

-- Writes the buffered changes.
local function write()
  local gone, put, last = {}, {}, 0
  for name in pairs(changed) do
    local value = fields[name]
    if value then
      put[last + 1], put[last + 2] = name, value
      last = last + 2
    else
      gone[#gone + 1] = name
    end
  end
  changed = {}
  send('HDEL', gone)
  send('HSET', put)
end

-- Returns the next arguments of the operations, from number 12 on.
local at = 12
local function take(count)
  at = at + count
  return unpack(ARGV, at - count, at - 1)
end
-- Returns a list, whose length is the next argument.
local function takeList()
  local list = {}
  for i = 1, tonumber(ARGV[at]) do list[i] = ARGV[at + i] end
  at = at + 1 + #list
  return list
end

-- Gives the record its next revision and returns it. It names this commit, so no other step can make the same one (see
-- revision.ts).
local function revise()
  local count, rest = string.match(step.revision, '^(%d+)%.?([^.]*)')
  step.revision = string.format('%.0f', count + 1) .. '.' .. step.node .. ':' .. step.number .. '.' .. rest
  redis.call('HSET', step.record, 'rev', step.revision)
  return step.revision
end

-- The number of a node's last commit in the session tells whether this one has been carried out.
local function isRepeat() return whole(get('t:' .. step.node)) >= tonumber(step.number) end

-- Reads the record, and those fields of the streams hash that the first operation needs, which is mostly the only one. Returns false
-- if there is no such session.
local function readSession()
  local head = redis.call('HMGET', step.record, 'rev', 'on', 'pr', 'hears', 'called', 'own')
  if not head[1] then return false end
  step.revision, step.principal, step.hears, step.owner = head[1], head[3], head[4] or '', head[6] or ''
  step.active, step.called = head[2] == '1', head[5] == '1'
  if #step.revision > 600 or not string.find(step.revision .. '.', '^%d+%.') then malformed() end

  local wanted = { 't:' .. step.node, 'bytes', 'first', 'from', 'kept', 'trimmed' }
  if ARGV[12] == 'open' or ARGV[12] == 'traced' then
    wanted[7], wanted[8] = 'run', 'reps'
    if ARGV[19] == '1' then wanted[9] = 'r:' .. ARGV[20] end
  elseif ARGV[12] == 'exchange' or ARGV[12] == 'exchange-traced' then
    wanted[7], wanted[8], wanted[9] = 'run', 'reps', 'r:' .. ARGV[15]
  elseif ARGV[12] == 'receive' then
    wanted[7] = 'reps'
  elseif ARGV[12] == 'append' then
    local stream, ends = ARGV[13], ARGV[14]
    wanted[7], wanted[8], wanted[9] = 'n:' .. stream, 'h:' .. stream, 'x:' .. stream
    if ends ~= '' then
      wanted[10], wanted[11] = 'p:' .. stream, 'b:' .. stream
      wanted[12], wanted[13] = 'r:' .. ends, 'run'
    end
  end
  local values = redis.call('HMGET', step.streams, unpack(wanted))
  for i = 1, #wanted do fields[wanted[i]] = values[i] end
  step.repeated = isRepeat()
  step.bytes = whole(fields.bytes)
  step.bytesBefore = step.bytes
  return true
end
