-- Adds entries to the log of the session.

--- @include "clock"
--- @include "commit/step"
--- @include "log-entry"
--- @include "log-map"
--- @include "session-keys"
--- @include "stored-values"
--- @include "young-log"

-- A failover may have lost the end of the log, and the clock of the new master may be behind. Clients have seen the lost entries, and
-- would take a new entry with the same log id for one of them. So if `ms` is behind the highest log id that this node has seen, this
-- returns the lowest log id that the step may use, as milliseconds and counter. Else it returns nil. Small differences between the
-- clocks of the masters of a cluster are allowed.
local function notBehind(ms)
  local CLOCK_SLACK_MS = 20
  if ARGV[10] == '' then return nil end
  local afterMs, counter = string.match(ARGV[10], '^(%d+)%-(%d+)$')
  if tonumber(ms) + CLOCK_SLACK_MS >= tonumber(afterMs) then return nil end
  return afterMs, string.format('%.0f', counter + 1)
end

-- Returns the log id after `last` for a log that is a string, as milliseconds and counter.
local function nextId(last)
  local ms, counter = timeNow(), 0
  local afterMs, afterCounter = notBehind(ms)
  if afterMs then ms, counter = afterMs, afterCounter end
  local lastMs, lastCounter = split(last, '-')
  if tonumber(ms) <= tonumber(lastMs) then ms, counter = lastMs, lastCounter + 1 end
  return ms, counter
end

-- Adds an entry to a log that is a string and cannot become a stream, because a cluster moves its slot.
local function logYoung(message, ...)
  local count, last = position(get('first'))
  local text, given, ordered = youngLog(step.events), { ... }, { 'o', step.bytes }
  local isWords = #text + #message <= YOUNG_BYTES
  for i = 1, #given, 2 do
    if given[i] ~= 'm' then
      isWords = isWords and string.find(given[i + 1], '^%S+$') ~= nil
      ordered[#ordered + 1] = given[i]
      ordered[#ordered + 1] = given[i + 1]
    end
  end
  -- An entry that does not fit has to wait for the end of the move. Redis refuses this XADD, and with it the script.
  if not isWords then redis.call('XADD', step.events .. ':none', '*', 'o', step.bytes) end
  local ms, counter = nextId(last)
  local id = ms .. '-' .. counter
  setYoungLog(step.events, text .. firstEntry(id, #ordered < #given + 2 and message or nil, unpack(ordered)))
  set('first', (count + 1) .. ':' .. id)
  step.bytes = step.bytes + ENTRY_BYTES + #message
  step.logged = step.logged or id
  if step.outbox then step.outbox.copy(id, message, ...) end
  return id
end

-- Adds an entry to the log and returns its log id. `...` are its fields and values. Those of a message of the server begin with
-- s and n, and end with e if the message ends its stream.
local function log(message, ...)
  local id
  if not fields.first or moveFirst(step.events) then
    if fields.first then set('first', false) end
    id = onLog('XADD', step.events, 'MAXLEN', step.maxEvents, '*', 'o', step.bytes, ...)
  end
  if not id then return logYoung(message, ...) end
  if not step.logged then
    local ms, counter = notBehind((split(id, '-')))
    if ms then
      redis.call('XDEL', step.events, id)
      id = redis.call('XADD', step.events, 'MAXLEN', step.maxEvents, ms .. '-' .. counter, 'o', step.bytes, ...)
    end
  end
  if step.outbox then step.outbox.copy(id, message, ...) end
  local offset = step.bytes
  step.bytes = step.bytes + ENTRY_BYTES + #message
  step.logged = step.logged or id
  local large = #message >= LARGE_BYTES
  -- The map of a log that is bounded in bytes has a line for about each 64th of the bound. The log can be trimmed up to such a line.
  local mapEvery = ARGV[3] ~= '' and tonumber(ARGV[3]) / 64
  if large or (mapEvery and math.floor(offset / mapEvery) < math.floor(step.bytes / mapEvery)) then
    local has, stream, numbered = ...
    local ends = numbered ~= 'n' and 'i' or (select(select('#', ...) - 1, ...) == 'e' and '1' or '0')
    set('map', mapped(get('map'), id, offset, large and (has == 's' and stream or '-') or '*', ends))
  end
  return id
end
