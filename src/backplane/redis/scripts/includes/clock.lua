-- The clock of this server, by which the moments of a session go.

-- Milliseconds since the epoch, as text: a number of so many digits would be written with an exponent.
local function timeNow()
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end
