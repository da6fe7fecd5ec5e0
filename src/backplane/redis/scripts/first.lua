-- The first entries of a log.
--
-- A stream of Redis takes more than 4 KiB for its first entry, and most sessions that are idle have had nothing but their
-- handshake. So a log begins as a string, as long as the field `first` says so. Each entry is a line, "<log id> <field>
-- <value> ...", where the value of the last field, if that is `m`, is the length of the message that follows the line. With
-- what comes after the handshake it becomes a stream, where the entries have the same ids and fields. Under the same key:
-- with one that is missing, no script could be run while the slot is moved to another server of a cluster.
local function firstEntry(id, message, ...)
  local line = table.concat({ id, ... }, ' ')
  if not message then return line .. '\n' end
  return line .. ' m ' .. #message .. '\n' .. message
end

-- As XRANGE returns them.
local function firstEntries(events)
  local text, entries, at = redis.call('GET', events) or '', {}, 1
  while at <= #text do
    local ends, words = string.find(text, '\n', at, true), {}
    for word in string.gmatch(string.sub(text, at, ends), '%S+') do words[#words + 1] = word end
    at = ends + 1
    if words[#words - 1] == 'm' then
      local length = tonumber(words[#words])
      words[#words] = string.sub(text, at, at + length - 1)
      at = at + length
    end
    entries[#entries + 1] = { table.remove(words, 1), words }
  end
  return entries
end

-- Makes it a stream; the field that says what it is is the caller's.
local function moveFirst(events)
  local entries, left = firstEntries(events), redis.call('PTTL', events)
  if #entries == 0 then return end
  -- A full Redis refuses this, but not what follows a DEL.
  redis.call('SET', events, '')
  redis.call('DEL', events)
  for _, item in ipairs(entries) do redis.call('XADD', events, item[1], unpack(item[2])) end
  if left >= 0 then redis.call('PEXPIRE', events, math.max(left, 1)) end
end
