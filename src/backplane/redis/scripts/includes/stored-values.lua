-- Values as they are stored, and what to do with one that this library cannot have written.

-- Ends the session (see malformed-session.ts). Only what a script reads from Redis is checked with it, never an argument.
local function malformed() error('MALFORMED') end

-- A whole number that is stored, or that this step is about to store -> the number; a missing field is 0.
local function whole(text)
  if not text then return 0 end
  if type(text) == 'number' then return text end
  if #text > 17 or not string.find(text, '^%-?%d+$') then malformed() end
  return tonumber(text)
end

-- A stored text -> what comes before and after the separator.
local function split(text, separator)
  local at = string.find(text, separator, 1, true)
  if not at then malformed() end
  return string.sub(text, 1, at - 1), string.sub(text, at + 1)
end

-- "<number>:<log id>" -> number, log id; a missing field is the beginning.
local function position(text)
  if not text then return 0, '0-0' end
  local n, ms, counter = string.match(text, '^(%d+):(%d+)%-(%d+)$')
  if not n or #n > 15 or #ms > 15 or #counter > 19 then malformed() end
  return tonumber(n), string.sub(text, #n + 2)
end

-- Whether log id a comes before b: milliseconds, then counter.
local function before(a, b)
  local ams, an = string.match(a, '^(%d+)%-(%d+)$')
  local bms, bn = string.match(b, '^(%d+)%-(%d+)$')
  if not ams or not bms then malformed() end
  if ams ~= bms then return tonumber(ams) < tonumber(bms) end
  return tonumber(an) < tonumber(bn)
end
