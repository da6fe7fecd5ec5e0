-- Removes the entries of an outbox that an archiver has delivered, and stores the state of their chains. Then it adds entries for gaps
-- that have room now, for two hundred sessions at most.
--
-- KEYS: 1 outbox, 2 its chains, 3 its counts, 4 its gaps
-- ARGV: 1 archiver, 2 mark of the checkpoint, 3 the mark that this acknowledgment makes, 4 ordinal,
--       5 the place of the last entry that was delivered, 6 its log id or '', 7 its session,
--       8 of how many sessions entries were delivered, or '' if the caller does not know: then the script reads the entries, which takes
--       longer, then of each of these sessions: id, how many bytes, the place of its last `end` or '',
--       then session and state of each chain; '' as the state removes the chain
--
-- Returns 'ok' | 'lost' | 'changed'. A repeat after a lost reply finds its own mark, changes nothing and returns 'ok'.

--- @include "audit/checkpoint"
--- @include "log-entry"

local outbox, chains, counts, gaps = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local upTo = ARGV[5]
local refusal = refusalOf(counts, ARGV[1], ARGV[2])
if refusal == 'changed' and redis.call('HGET', counts, 'm') == ARGV[3] then return 'ok' end
if refusal then return refusal end
if not hasEntry(outbox, upTo, ARGV[6], ARGV[7]) then return 'changed' end

local function number(text) return tonumber(string.match(text or '', '^%d+$') or '') or 0 end
-- Runs a command on a hash for the names of a list, several times if Lua cannot unpack them all. Returns the replies as one list.
local function onAll(command, key, names)
  local values = {}
  for from = 1, #names, 1000 do
    local replies = redis.call(command, key, unpack(names, from, math.min(from + 999, #names)))
    for at = 1, command == 'HMGET' and #replies or 0 do values[from + at - 1] = replies[at] end
  end
  return values
end

-- How many bytes are to be removed, by session, and which ends of sessions.
local sizes, sessions, ends, all = {}, {}, {}, 0
local function remove(sid, size)
  if not sizes[sid] then sessions[#sessions + 1] = sid end
  sizes[sid], all = (sizes[sid] or 0) + size, all + size
end
local known = tonumber(ARGV[8])
for at = 9, 8 + 3 * (known or 0), 3 do
  remove(ARGV[at], tonumber(ARGV[at + 1]))
  if ARGV[at + 2] ~= '' then ends[#ends + 1] = { 'e:' .. ARGV[at], ARGV[at + 2] } end
end
local from = not known and '-'
while from do
  local item = redis.call('XRANGE', outbox, from, upTo, 'COUNT', 1)[1]
  if item then
    local e = entry(item[2])
    remove(e.u or '', ENTRY_BYTES + #(e.m or ''))
    if e['end'] then ends[#ends + 1] = { 'e:' .. (e.u or ''), item[1] } end
  end
  from = item and '(' .. item[1]
end

-- A full Redis refuses only the first write of a script, and not these.
redis.call('XTRIM', outbox, 'MINID', upTo)
redis.call('XDEL', outbox, upTo)

local fields, emptied, changed = {}, {}, {}
for at, sid in ipairs(sessions) do fields[at] = 'b:' .. sid end
local before, bytes = onAll('HMGET', counts, fields), number(redis.call('HGET', counts, 'b'))
-- What a script that failed in the middle has not counted ends with the last entry.
bytes = redis.call('XLEN', outbox) > 0 and math.max(0, bytes - all) or 0
for at, sid in ipairs(sessions) do
  local left = number(before[at]) - sizes[sid]
  sizes[sid] = math.max(0, left)
  if left > 0 then
    changed[#changed + 1] = fields[at]
    changed[#changed + 1] = left
  else
    emptied[#emptied + 1] = fields[at]
  end
end
for _, each in ipairs(ends) do
  -- The end of a later session with the same id may wait.
  if redis.call('HGET', counts, each[1]) == each[2] then emptied[#emptied + 1] = each[1] end
end
onAll('HDEL', counts, emptied)
onAll('HSET', counts, changed)

local ended, states = {}, {}
for at = 9 + 3 * (known or 0), #ARGV, 2 do
  if ARGV[at + 1] == '' then
    ended[#ended + 1] = ARGV[at]
  else
    states[#states + 1] = ARGV[at]
    states[#states + 1] = ARGV[at + 1]
  end
end
onAll('HDEL', chains, ended)
onAll('HSET', chains, states)

local waiting = number(redis.call('HGET', counts, 'g'))
if waiting > 0 then
  local most, mostInAll = string.match(redis.call('HGET', counts, 'l') or '', '^(%d+) (%d+)$')
  most, mostInAll = tonumber(most or 0), tonumber(mostInAll or 0)
  local turns = 200
  local function tell(sid, gap)
    if turns == 0 then return end
    turns = turns - 1
    local missing, since = string.match(gap, '^(%d+) (%d+)$')
    local ofSession = sizes[sid] or number(redis.call('HGET', counts, 'b:' .. sid))
    if missing and (ofSession + ENTRY_BYTES > most or bytes + ENTRY_BYTES > mostInAll) then return end
    redis.call('HDEL', gaps, sid)
    waiting = waiting - 1
    if not missing then return end
    redis.call('XADD', outbox, '*', 'u', sid, 'gap', missing, 'from', since)
    bytes, sizes[sid] = bytes + ENTRY_BYTES, ofSession + ENTRY_BYTES
    redis.call('HSET', counts, 'b:' .. sid, sizes[sid])
  end
  -- The sessions that have room since this acknowledgment come first. Others may have waited for room in all.
  local own = onAll('HMGET', gaps, sessions)
  for at, sid in ipairs(sessions) do
    if sid ~= '' and own[at] then tell(sid, own[at]) end
  end
  local scan = redis.call('HSCAN', gaps, redis.call('HGET', counts, 's') or '0', 'COUNT', 100)
  for at = 1, #scan[2], 2 do
    local sid = scan[2][at]
    -- Those of this acknowledgment have had their turn.
    if sid ~= '' and redis.call('HEXISTS', gaps, sid) == 1 then tell(sid, scan[2][at + 1]) end
  end
  redis.call('HSET', counts, 's', scan[1], 'g', math.max(0, waiting))
end
redis.call('HSET', counts, 'b', bytes, 'm', ARGV[3], 'n', ARGV[4])
return 'ok'
