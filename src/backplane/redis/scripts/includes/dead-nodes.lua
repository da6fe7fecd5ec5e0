-- Whether a node may be taken for dead.

--- @include "clock"

-- How long a node counts as dead after the look that found it dead (LOOK_HOLDS_MS in operations.ts).
local LOOK_HOLDS_MS = 1500

-- Whether a look, '' for none, is too old to build on. A clock that was set back says nothing: that look is too old, too.
local function isStale(lookedAt)
  if lookedAt == '' then return false end
  local age = tonumber(timeNow()) - tonumber(lookedAt)
  return age < 0 or age > LOOK_HOLDS_MS
end
