-- Reads the events of a stream of one of the SDK's transports after a cursor.
--
-- KEYS: 1 log of the session, 2 stream ends (see replay-append.lua)
-- ARGV: 1 stream, 2 number and 3 log id of the cursor, 4 about how many bytes a page has, 5 a log id up to which an earlier run has
--       looked, or ''
--
-- Returns 'unknown', 'trimmed', { 'further', log id } if the step has looked as far as it may and found nothing, or
-- { more ('1' or '0'), number, log id, message ... }

--- @include "log-entry"
--- @include "log-scan"
--- @include "replay-map"
--- @include "stored-values"

local log, stream, n, id = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local found, map = unpack(redis.call('HMGET', KEYS[2], stream, REPLAY_MAP))
if not found then return 'unknown' end
local lastN, lastId = position(found)
if n > lastN or (n == lastN and id ~= lastId) then return 'unknown' end
if n == lastN then return { '0' } end
if ARGV[5] == '' then
  -- If the log still has the entry that the cursor names, it must be the event of this stream with this number.
  local known = redis.call('XRANGE', log, id, id)[1]
  if known then
    local e = entry(known[2])
    if e.s ~= stream or tonumber(e.n) ~= n then return 'unknown' end
  elseif not before(id, lastId) then
    return 'unknown'
  else
    -- Older entries are there, so the event was not trimmed: a failover has lost it. The new master's clock may be behind, so entries that
    -- came later may stand before the cursor.
    local oldest = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
    if oldest and before(oldest[1], id) then return 'unknown' end
  end
end
local from = ARGV[5] == '' and id or ARGV[5]
local events, looked, more = scanStream(log, stream, from, tonumber(ARGV[4]), lastId, nil, map)
if not events[1] and more then return { 'further', looked } end
-- The first event found must have the next number.
if not events[1] or tonumber(events[1].n) ~= n + 1 then return 'trimmed' end
local reply = { more and '1' or '0' }
for _, event in ipairs(events) do
  reply[#reply + 1] = event.n
  reply[#reply + 1] = event.id
  reply[#reply + 1] = event.m
end
return reply
