-- Ends a session everywhere.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 '1' to remove the session of any principal, else '', 2 principal, 3 channel prefix, 4 session id
--
-- Returns the principal, 0 if there is no such session, or -1 if it is another principal's.

--- @include "moved-log"
--- @include "session-keys"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

local record, streams, events = sessionKeys()
local principal = redis.call('HGET', record, 'pr')
if not principal then return 0 end
if ARGV[1] == '' and principal ~= ARGV[2] then return -1 end
local elsewhere = logElsewhere(streams, events)
if elsewhere then return elsewhere end

local told = {}
local function tellOnce(node)
  if told[node] then return end
  told[node] = true
  tell(ARGV[3], node, 'gone ' .. ARGV[4])
end
local fields = redis.call('HGETALL', streams)
for i = 1, #fields, 2 do
  local kind = string.sub(fields[i], 1, 2)
  if kind == 'h:' then
    tellOnce((split(fields[i + 1], ':')))
  elseif kind == 'x:' then
    tellOnce((executorOf(fields[i + 1])))
  elseif fields[i] == 'reps' then
    for node in string.gmatch(fields[i + 1], '%S+') do tellOnce(node) end
  end
end
-- DEL would take long for a long log.
redis.call('UNLINK', record)
redis.call('UNLINK', streams)
onLog('UNLINK', events)
wake()
return principal
