-- The clock of this server, by which the moments of a session go.

-- Milliseconds since the epoch, as text: a number of so many digits would be written with an exponent.
local function timeNow()
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end

-- How long a node counts as dead after the look that found it dead (LOOK_HOLDS_MS in operations.ts).
local LOOK_HOLDS_MS = 1500

-- Whether a look, '' for none, is too old to build on. A clock that was set back says nothing: that look is too old, too.
local function isStale(lookedAt)
  if lookedAt == '' then return false end
  local age = tonumber(timeNow()) - tonumber(lookedAt)
  return age < 0 or age > LOOK_HOLDS_MS
end
