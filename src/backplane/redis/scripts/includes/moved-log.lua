-- Tells whether a move of the slot has separated the log of a session from its record.
--
-- While a cluster moves a slot, the keys of a session go to the other server one after another. Redis answers `TRYAGAIN` to a script that
-- declares a key which is not on its server. But the log of a session may have expired, and a script must not wait for a key that does
-- not exist. So a script that is sent again declares the record and the streams hash only (see script.ts). Redis then runs it, and
-- would let it begin a second log beside the one on the other server, or read an empty log.
--
-- The field `lives` of the streams hash tells the two cases apart: until that time (ms) the log cannot have expired.

--- @include "clock"
--- @include "session-keys"
--- @include "stored-values"

-- Returns the error with which the script has to end, before it has written anything, if the log is on another server. Else it
-- returns nil.
local function logElsewhere(streams, events)
  if #KEYS ~= 2 then return nil end
  local state = redis.call('HMGET', streams, 'lives', 'young')
  if state[2] or whole(state[1]) <= tonumber(timeNow()) then return nil end
  local there = onLog('EXISTS', events)
  if there == 1 then return nil end
  return redis.error_reply('TRYAGAIN The log of the session is on another server')
end
