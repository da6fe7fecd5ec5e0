-- Parses values that scripts have stored.

-- Fails the script because Redis holds a value that no script of this library writes. The node then ends the session (see
-- malformed-session.ts). So only stored values are checked with it, never an argument.
local function malformed() error('MALFORMED') end

-- Returns a stored whole number, or one that this step is about to store. A missing field counts as 0.
local function whole(text)
  if not text then return 0 end
  if type(text) == 'number' then return text end
  if #text > 17 or not string.find(text, '^%-?%d+$') then malformed() end
  return tonumber(text)
end

-- Returns what a stored text has before and after the separator.
local function split(text, separator)
  local at = string.find(text, separator, 1, true)
  if not at then malformed() end
  return string.sub(text, 1, at - 1), string.sub(text, at + 1)
end

-- Parses a position "<number>:<log id>" and returns the number and the log id. A missing field is the beginning of a stream.
local function position(text)
  if not text then return 0, '0-0' end
  local n, ms, counter = string.match(text, '^(%d+):(%d+)%-(%d+)$')
  if not n or #n > 15 or #ms > 15 or #counter > 19 then malformed() end
  return tonumber(n), string.sub(text, #n + 2)
end

-- Returns whether log id a comes before b. A log id is "<milliseconds>-<counter>".
local function before(a, b)
  local ams, an = string.match(a, '^(%d+)%-(%d+)$')
  local bms, bn = string.match(b, '^(%d+)%-(%d+)$')
  if not ams or not bms then malformed() end
  if ams ~= bms then return tonumber(ams) < tonumber(bms) end
  return tonumber(an) < tonumber(bn)
end
