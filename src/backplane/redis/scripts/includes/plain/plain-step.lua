-- What the scripts of plain steps have in common. A plain step is one that a plain call needs: it opens the stream of one request, or
-- logs the answer that ends it, or logs both at once. There is nothing else to do in it. The general code, which follows, would do the
-- same, and takes more than twice as long: it defines some sixty functions and fills some twenty tables, in each run. So a plain step
-- has little of either.
--
-- The code of a plain step writes nothing until it has found that the step is plain. It judges nothing else: the general code
-- refuses what has to be refused, and says what is malformed.

--- @include "log-entry"

-- Returns how many bytes will ever have been logged, including this message, and `answer` if the step logs two. Returns nil if there is
-- something else to do, whatever the kind of the step. That is so in these cases: the step is a repeat. The log is still a string, has
-- to be trimmed, or its map gets a line. A life has to be prolonged. The clock of Redis is behind.
--
-- `stored` begins with these fields of the streams hash: t:<node>, bytes, run, kept, trimmed, from, first.
local function plainBytes(stored, message, answer)
  -- A larger message may need a line in the map (see log-map.lua).
  local MOST_BYTES = 65536
  local size = ENTRY_BYTES + #message + (answer and ENTRY_BYTES + #answer or 0)
  local last, bytes, run, kept, trimmed, from, first = unpack(stored, 1, 7)
  if first or not (last and bytes and kept and trimmed) or size > MOST_BYTES then return nil end
  if not string.find(last .. bytes .. (run or '') .. kept .. trimmed .. (from or ''), '^%d+$') then return nil end
  local logged = bytes + size
  -- Lua counts no further than this. A number that is greater is malformed.
  if logged + (run or 0) > 1e15 or last - ARGV[2] >= 0 then return nil end
  if ARGV[3] ~= '' then
    local mapEvery = ARGV[3] / 64
    if logged - (from or 0) > ARGV[3] - 0 or math.floor(bytes / mapEvery) < math.floor(logged / mapEvery) then return nil end
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  -- As in lifetimes.lua.
  local slack = math.min(1000, math.floor(math.min(ARGV[4], ARGV[7]) / 64))
  if now < math.max(kept, trimmed) or now - math.min(kept, trimmed) >= slack then return nil end
  if ARGV[10] ~= '' and now < string.match(ARGV[10], '^%d+') - 0 then return nil end
  return logged
end
