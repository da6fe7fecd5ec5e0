-- How a step logs an entry.

--- @include "clock"
--- @include "commit/step"
--- @include "log-entry"
--- @include "log-map"
--- @include "session-keys"
--- @include "stored-values"
--- @include "young-log"

-- Of a log that is bounded in bytes, the map has a place each so many bytes: where it is to be trimmed to.
local mapEvery = ARGV[3] ~= '' and tonumber(ARGV[3]) / 64

-- The lowest log id that this step may give, where `ms` is behind the clock by which the log has gone so far: a new master's
-- clock may be, and who has seen what the log has lost must not take what comes now for that. Clocks of the masters of a
-- cluster that differ a little do no harm.
local CLOCK_SLACK_MS = 20
local function notBehind(ms)
  if ARGV[10] == '' then return nil end
  local afterMs, counter = string.match(ARGV[10], '^(%d+)%-(%d+)$')
  if tonumber(ms) + CLOCK_SLACK_MS >= tonumber(afterMs) then return nil end
  return afterMs, string.format('%.0f', counter + 1)
end

-- The next log id of a log that is text, whose last one is `last`: milliseconds, and counter.
local function nextId(last)
  local ms, counter = timeNow(), 0
  local afterMs, afterCounter = notBehind(ms)
  if afterMs then ms, counter = afterMs, afterCounter end
  local lastMs, lastCounter = split(last, '-')
  if tonumber(ms) <= tonumber(lastMs) then ms, counter = lastMs, lastCounter + 1 end
  return ms, counter
end

-- Logs an entry while the log can be no stream.
local function logYoung(message, ...)
  local count, last = position(get('first'))
  local text, given, ordered = youngLog(events), { ... }, { 'o', bytes }
  local isWords = #text + #message <= YOUNG_BYTES
  for i = 1, #given, 2 do
    if given[i] ~= 'm' then
      isWords = isWords and string.find(given[i + 1], '^%S+$') ~= nil
      ordered[#ordered + 1] = given[i]
      ordered[#ordered + 1] = given[i + 1]
    end
  end
  -- What does not fit waits for the end of the move: this is refused.
  if not isWords then redis.call('XADD', events .. ':none', '*', 'o', bytes) end
  local ms, counter = nextId(last)
  local id = ms .. '-' .. counter
  setYoungLog(events, text .. firstEntry(id, #ordered < #given + 2 and message or nil, unpack(ordered)))
  set('first', (count + 1) .. ':' .. id)
  bytes = bytes + ENTRY_BYTES + #message
  logged = logged or id
  return id
end

-- Logs an entry. `...` are its fields; those of a message of the server begin with s and n.
local function log(message, ...)
  local id
  if not fields.first or moveFirst(events) then
    if fields.first then set('first', false) end
    id = onLog('XADD', events, 'MAXLEN', maxEvents, '*', 'o', bytes, ...)
  end
  if not id then return logYoung(message, ...) end
  if not logged then
    local ms, counter = notBehind((split(id, '-')))
    if ms then
      redis.call('XDEL', events, id)
      id = redis.call('XADD', events, 'MAXLEN', maxEvents, ms .. '-' .. counter, 'o', bytes, ...)
    end
  end
  local offset = bytes
  bytes = bytes + ENTRY_BYTES + #message
  logged = logged or id
  local large = #message >= LARGE_BYTES
  if large or (mapEvery and math.floor(offset / mapEvery) < math.floor(bytes / mapEvery)) then
    local has, stream, numbered = ...
    local ends = numbered ~= 'n' and 'i' or (select(select('#', ...) - 1, ...) == 'e' and '1' or '0')
    set('map', mapped(get('map'), id, offset, large and (has == 's' and stream or '-') or '*', ends))
  end
  return id
end
