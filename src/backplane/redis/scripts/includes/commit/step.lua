-- The state of one step of a node in a session: its arguments, what it has read, and what it has done so far. The operations of the
-- step and its end read and assign these variables.

--- @include "session-keys"
--- @include "stored-values"

local record, streams, events = sessionKeys()
local node, number, maxEvents, channels, sid = ARGV[1], ARGV[2], ARGV[6], ARGV[8], ARGV[9]

-- Fields of the record. The revision stays text, and so do numbers of the streams hash, since Lua formats a number anew each time
-- it is passed to Redis.
local revision, principal, hears, owner, active, called

-- Whether an earlier run of this script has carried out this commit, and its reply was lost. A repeat changes nothing.
local repeated = false

-- How many bytes have ever been logged, and how many of them before this step.
local bytes, bytesBefore = 0, 0

-- Fields of the streams hash that this step has read or set: a value, or false for a missing field. Changes are buffered, and
-- written with one HDEL and one HSET at the end of the step, or before an operation that reads the whole hash.
local fields, changed = {}, {}

local function load(names)
  local values = redis.call('HMGET', streams, unpack(names))
  for i = 1, #names do fields[names[i]] = values[i] end
end

local function get(name)
  local value = fields[name]
  if value == nil then
    value = redis.call('HGET', streams, name)
    fields[name] = value
  end
  return value
end

-- Sets a field of the streams hash; false as the value removes it.
local function set(name, value)
  fields[name], changed[name] = value, true
end

-- Removes fields at once. A full Redis lets a script write if its first write needs no memory. A step that begins with this can so
-- store the answer to a call even then.
local function drop(names)
  redis.call('HDEL', streams, unpack(names))
  for i = 1, #names do fields[names[i]], changed[names[i]] = false, nil end
end

-- Sends a command on the streams hash, several times if the list has more items than Lua can unpack.
local function send(command, list)
  for from = 1, #list, 1000 do redis.call(command, streams, unpack(list, from, math.min(from + 999, #list))) end
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

-- What the operations say of the step as a whole:
--   used        a client has used the session, so its life begins anew
--   logged      log id of the first entry of this step
--   stale       the caller does not know the current revision, so the reply has the record
--   lengthened  the session has a longer time to live from now on
local used, logged, stale, lengthened = false, nil, false, false
-- The results of the operations so far.
local results = {}

-- Returns the next arguments of the operations, from number 11 on.
local at = 11
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
  local count, rest = string.match(revision, '^(%d+)%.?([^.]*)')
  revision = string.format('%.0f', count + 1) .. '.' .. node .. ':' .. number .. '.' .. rest
  redis.call('HSET', record, 'rev', revision)
  return revision
end

-- The number of a node's last commit in the session tells whether this one has been carried out.
local function isRepeat() return whole(get('t:' .. node)) >= tonumber(number) end

-- Reads the record, and those fields of the streams hash that the first operation needs, which is mostly the only one. Returns false
-- if there is no such session.
local function readSession()
  local head = redis.call('HMGET', record, 'rev', 'on', 'pr', 'hears', 'called', 'own')
  revision, principal, hears, owner = head[1], head[3], head[4] or '', head[6] or ''
  if not revision then return false end
  if #revision > 600 or not string.find(revision .. '.', '^%d+%.') then malformed() end
  active, called = head[2] == '1', head[5] == '1'

  local wanted = { 't:' .. node, 'bytes', 'first', 'from', 'kept', 'trimmed' }
  if ARGV[11] == 'open' then
    wanted[7], wanted[8] = 'run', 'reps'
    if ARGV[18] == '1' then wanted[9] = 'r:' .. ARGV[19] end
  elseif ARGV[11] == 'receive' then
    wanted[7] = 'reps'
  elseif ARGV[11] == 'append' then
    local stream, ends = ARGV[12], ARGV[13]
    wanted[7], wanted[8], wanted[9] = 'n:' .. stream, 'h:' .. stream, 'x:' .. stream
    if ends ~= '' then
      wanted[10], wanted[11] = 'p:' .. stream, 'b:' .. stream
      wanted[12], wanted[13] = 'r:' .. ends, 'run'
    end
  end
  load(wanted)
  repeated = isRepeat()
  bytes = whole(fields.bytes)
  bytesBefore = bytes
  return true
end
