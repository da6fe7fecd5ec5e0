-- Adds the end of sessions that have expired to an outbox: of a hundred sessions at most.
--
-- KEYS: 1 outbox, 2 its chains, 3 its counts, 4 its gaps
-- ARGV: 1 where to begin: a cursor of this script, or '0'; 2 about how many sessions with a chain it looks at,
--       3 the key of a record before the session id, 4 that behind it, 5 that of a streams hash behind it,
--       6 the setting of the outbox (see audit/outbox.lua)
--
-- Returns the cursor at which to go on, or '' after the last chain.

--- @include "audit/outbox"
--- @include "audit/session-end"

local MOST, ended = 100, 0
local scan = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
for at = 1, #scan[2], 2 do
  local sid = scan[2][at]
  if sid ~= '' and redis.call('HEXISTS', KEYS[3], 'e:' .. sid) == 0 then
    local record = ARGV[3] .. sid
    -- These are two keys, because Redis then refuses the command while the slot moves, unless both are here. It may be refused.
    local there = redis.pcall('EXISTS', record .. ARGV[4], record .. ARGV[5])
    if there == 0 then
      local outbox = openOutbox(ARGV[6], sid)
      if outbox.err then return outbox end
      -- A full Redis refuses only the first write of a script, and not this one.
      redis.call('HDEL', KEYS[3], 'e:' .. sid)
      addEnd(outbox, 'expired')
      outbox.close()
      ended = ended + 1
      -- The next run looks at the same chains, and passes over those that have ended.
      if ended == MOST then return ARGV[1] end
    end
  end
end
return scan[1] == '0' and '' or scan[1]
