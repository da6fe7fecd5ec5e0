-- The first entries of a log.
--
-- A stream of Redis takes more than 4 KiB for its first entry, and most sessions that are idle have had nothing but their
-- handshake. So a log begins as a string, as long as the field `first` says so. Each entry is a line, "<log id> <field>
-- <value> ...", where the value of the last field, if that is `m`, is the length of the message that follows the line. With
-- what comes after the handshake it becomes a stream, where the entries have the same ids and fields.
--
-- While the slot of a session is moved to another server of a cluster, a key that is missing cannot be made. So a log that
-- is still a string stays one for that time, and a log that has expired begins again as the field `young` of the streams
-- hash. The first step after the move makes it a stream.

--- @include "session-keys"
--- @include "stored-values"

local function isLogId(text) return text and #text <= 32 and string.find(text, '^%d+%-%d+$') ~= nil end

-- A log of more bytes is a stream from the start.
local FIRST_BYTES = 65536

local function firstEntry(id, message, ...)
  local line = table.concat({ id, ... }, ' ')
  if not message then return line .. '\n' end
  return line .. ' m ' .. #message .. '\n' .. message
end

-- A log that stays text takes no more than this.
local YOUNG_BYTES = 1048576

local function youngLog(events)
  local _, streams = sessionKeys()
  return redis.call('HGET', streams, 'young') or onLog('GET', events) or ''
end

local function setYoungLog(events, text)
  if onLog('EXISTS', events) == 1 then
    -- Not APPEND, which makes room for as much again.
    redis.call('SET', events, text, 'KEEPTTL')
  else
    local _, streams = sessionKeys()
    redis.call('HSET', streams, 'young', text)
  end
end

-- As XRANGE returns them. What somebody else has put there may be anything: the log ends before the first entry that
-- this library would not have written, and what is missing is found as what was trimmed is.
local function firstEntries(events)
  local text, entries, at, newest = youngLog(events), {}, 1, '0-0'
  while at <= #text do
    local ends, words = string.find(text, '\n', at, true), {}
    if not ends then break end
    for word in string.gmatch(string.sub(text, at, ends), '%S+') do words[#words + 1] = word end
    at = ends + 1
    local id = table.remove(words, 1)
    if not isLogId(id) or not before(newest, id) or #words == 0 or #words > 32 or #words % 2 == 1 then
      break
    end
    if words[#words - 1] == 'm' then
      local length = tonumber(string.match(words[#words], '^%d+$'))
      if not length or at + length - 1 > #text then break end
      words[#words] = string.sub(text, at, at + length - 1)
      at = at + length
    end
    newest = id
    entries[#entries + 1] = { id, words }
  end
  return entries
end

-- Makes it a stream; the field that says what it is is the caller's. False: that cannot be done while the slot is moved.
local function moveFirst(events)
  if not onLog('EXISTS', events .. ':none') then return false end
  local _, streams = sessionKeys()
  local isField = redis.call('HEXISTS', streams, 'young') == 1
  local left = redis.call('PTTL', isField and streams or events)
  if left == -2 then return true end
  local entries = firstEntries(events)
  -- A full Redis refuses this, but not what follows a DEL.
  redis.call('SET', events, '')
  redis.call('DEL', events)
  if isField then redis.call('HDEL', streams, 'young') end
  for _, item in ipairs(entries) do redis.call('XADD', events, item[1], unpack(item[2])) end
  if left >= 0 then redis.call('PEXPIRE', events, math.max(left, 1)) end
  return true
end
