-- What each commit script does: it runs the operations that the arguments name, in their order. Then it does what a step does once:
-- it prolongs the lives of the keys, trims the log, writes the changes, publishes messages, and returns the reply.
--
-- This is the last include of a script. It is no function, because Redis makes the functions of a script anew with each run. A function
-- that uses so many variables would take 1.7 µs more of about 45 µs.

--- @include "audit/outbox"
--- @include "commit/owner"
--- @include "commit/quiet-nodes"
--- @include "commit/step"
--- @include "lifetimes"
--- @include "log-trim"
--- @include "moved-log"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

-- Results that are returned as one text, if they are the only one. They are those of the steps of a plain call.
local PLAIN = { appended = true, exchanged = true, opened = true }
-- The most bytes of the field `full`, with the last refused commit of each of some fifty nodes.
local MOST_REFUSED = 2000

if not readSession() then return { 'gone' } end
local elsewhere = logElsewhere(step.streams, step.events)
if elsewhere then return elsewhere end
if ARGV[11] ~= '' then
  if step.repeated then
    step.isFull = string.find(' ' .. (get('full') or '') .. ' ', ' ' .. step.node .. ':' .. step.number .. ' ', 1, true) ~= nil
  else
    local outbox = openOutbox(ARGV[11], step.sid)
    if outbox.err then return outbox end
    step.outbox, step.isFull = outbox, outbox.isFull
  end
end
while at <= #ARGV do
  local name = take(1)
  step.results[#step.results + 1] = operations[name]()
end
forgetQuietNodes()

-- This comes after the operations. A script that failed in one of them must not count as carried out.
if not step.repeated then
  set('t:' .. step.node, step.number)
  set('bytes', step.bytes)
end

local ttl, maxAge = tonumber((step.active or step.called) and ARGV[4] or ARGV[5]), tonumber(ARGV[7])
-- The time by the clock of Redis, or nil if the step has logged nothing. It stays text, since Lua would write so long a number
-- with an exponent.
local time = step.logged and string.match(step.logged, '^%d+')
local function isDue(name, every)
  local elapsed = time and tonumber(time) - whole(fields[name])
  return not elapsed or elapsed < 0 or elapsed >= every
end
if step.used and (step.lengthened or isDue('kept', slackOf(ttl))) then
  -- A repeat logs nothing. Its first run has stored the time.
  if time then redis.call('HSET', step.record, 'seen', time) end
  expireIn(step.record, ttl)
  expireIn(step.streams, ttl)
  if time then set('kept', time) end
end
if step.logged then
  -- A log that is still a string is not trimmed.
  if ARGV[3] ~= '' and not fields.first then
    local most = tonumber(ARGV[3])
    if step.bytes - whole(fields.from) > most then
      local oldest, map = trimBytes(step.events, get('map'), step.bytes - most, step.logged, step.bytesBefore)
      if map then set('map', map) end
      set('from', oldest)
    end
  end
  if step.lengthened or isDue('trimmed', slackOf(math.min(ttl, maxAge))) then
    if maxAge > 0 and not fields.first then
      redis.call('XTRIM', step.events, 'MINID', string.format('%.0f', tonumber(time) - maxAge))
    end
    expireLog(step.events, math.min(ttl, maxAge))
    set('trimmed', time)
    set('lives', string.format('%.0f', tonumber(time) + math.min(ttl, maxAge)))
  end
end
if step.outbox then
  step.outbox.close()
  if step.refused and not step.repeated then
    -- The others are the last refused commits of other nodes. A node's id has only letters and digits.
    local others = string.gsub(' ' .. (get('full') or ''), ' ' .. step.node .. ':%d+', '')
    local refused = step.node .. ':' .. step.number .. others
    if #refused > MOST_REFUSED then refused = string.match(string.sub(refused, 1, MOST_REFUSED), '^(.*) ') or '' end
    set('full', refused)
  end
end
write()
wake()
local became = becameOwner()
if not step.stale and not became then
  local only = #step.results == 1 and step.results[1]
  -- These are the two steps of a plain call. No part of the result has a space. One text costs Redis and the node less than a list.
  if only and PLAIN[only[1]] then return step.revision .. ' ' .. table.concat(only, ' ') end
  return { 'ok', step.revision, '', '', step.results }
end
local record, holder = '', ''
if step.stale then
  record, holder = redis.call('HGETALL', step.record), redis.call('HGET', step.streams, 'h:' .. STANDALONE) or ''
end
return { 'ok', step.revision, record, holder, step.results, became and '1' or '' }
