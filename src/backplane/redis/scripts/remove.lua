-- Ends a session everywhere.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 '1' to remove the session of any principal, else '', 2 principal, 3 channel prefix, 4 session id,
--       5 the setting of the outbox (see audit/outbox.lua), 6 '1' if the caller has the option `audit`, else ''
--
-- If the audit trail has begun for the session, its outbox gets the entry which says that the session has ended. A caller without the
-- option `audit` cannot know that. While the slot moves, its step leaves the entry to end-expired.lua.
--
-- Returns the principal, 0 if there is no such session, or -1 if it is another principal's.

--- @include "audit/outbox"
--- @include "audit/session-end"
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

local outbox = openOutbox(ARGV[5], ARGV[4])
if outbox.err and ARGV[6] == '1' then return outbox end
local audited = not outbox.err and isAudited(outbox)

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
if audited then
  addEnd(outbox, ARGV[1] == '1' and 'removed' or 'deleted')
  outbox.close()
end
wake()
return principal
