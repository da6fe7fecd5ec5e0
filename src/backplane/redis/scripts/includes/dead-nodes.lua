-- Steps that take something from a dead node. A node calls another one dead after it has looked for that node's lease and not
-- found it.

--- @include "clock"

-- A step may rely on such a look for this long. LOOK_HOLDS_MS in operations.ts is the same number.
local LOOK_HOLDS_MS = 1500

-- Returns whether a look of this time is too old to rely on. '' means that the caller has looked at no node: that is never too
-- old. A look that lies in the future is too old, since the clock was set back.
local function isStale(lookedAt)
  if lookedAt == '' then return false end
  local age = tonumber(timeNow()) - tonumber(lookedAt)
  return age < 0 or age > LOOK_HOLDS_MS
end
