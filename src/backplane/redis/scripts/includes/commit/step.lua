-- One step of a node in a session: its arguments, what it reads, and what it has done so far. Operations and the end of the step
-- read and change these variables.

--- @include "session-keys"
--- @include "stored-values"

local record, streams, events = sessionKeys()
local node, number, maxEvents, channels, sid = ARGV[1], ARGV[2], ARGV[6], ARGV[8], ARGV[9]

-- The record, as far as a step looks at it. The revision is text, as numbers of the streams hash are below: one that is passed
-- on to Redis is formatted anew each time.
local revision, principal, hears, owner, active, called

-- Whether this node has carried this commit out before: its reply was lost.
local repeated = false

-- How many bytes were ever logged, and how many of them before this step.
local bytes, bytesBefore = 0, 0

-- The streams hash, as far as this step has looked at it: a value, or false. What it changes is written in one go, at the
-- end, or before somebody reads the hash as a whole.
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

-- `value`: false takes it away.
local function set(name, value)
  fields[name], changed[name] = value, true
end

-- Taken away at once. Where Redis is full, a script that has begun with this may go on, and one that begins with anything
-- that needs memory may not: an answer to a call is to be stored all the same.
local function drop(names)
  redis.call('HDEL', streams, unpack(names))
  for i = 1, #names do fields[names[i]], changed[names[i]] = false, nil end
end

-- No more than fit on the stack go in one command.
local function send(command, list)
  for from = 1, #list, 1000 do redis.call(command, streams, unpack(list, from, math.min(from + 999, #list))) end
end

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

-- `logged`: the id of the first entry of this step; `lengthened`: from now on the session lives longer than it did.
local used, logged, stale, lengthened = false, nil, false, false
local results = {}

-- The next so many arguments.
local at = 11
local function take(count)
  at = at + count
  return unpack(ARGV, at - count, at - 1)
end
local function takeList()
  local list = {}
  for i = 1, tonumber(ARGV[at]) do list[i] = ARGV[at + i] end
  at = at + 1 + #list
  return list
end

-- Makes the record's next revision, and says which. See revision.ts: no other step can make the same one.
local function revise()
  local count, rest = string.match(revision, '^(%d+)%.?([^.]*)')
  revision = string.format('%.0f', count + 1) .. '.' .. node .. ':' .. number .. '.' .. rest
  redis.call('HSET', record, 'rev', revision)
  return revision
end

local function isRepeat() return whole(get('t:' .. node)) >= tonumber(number) end

-- Reads the record, and of the streams hash what the first operation, mostly the only one, is about to look at. False: there is
-- no such session.
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
