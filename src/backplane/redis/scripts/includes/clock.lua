-- The clock of this Redis server. All moments that are stored of a session are times of this clock.

-- Returns the milliseconds since the epoch as text. Lua would write so long a number with an exponent.
local function timeNow()
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end
