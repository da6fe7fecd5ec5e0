-- Runs a step from beginning to end.

--- @include "commit/quiet-nodes"
--- @include "commit/step"
--- @include "lifetimes"
--- @include "log-trim"
--- @include "stored-values"
--- @include "streams-hash"
--- @include "wake-ups"

-- Runs the operations that the arguments name, in their order, and then does what a step does once: lengthen lives, trim the log,
-- write, publish. `operations` has the functions by their names. Returns the reply of the script.
local function runStep(operations)
  if not readSession() then return { 'gone' } end
  while at <= #ARGV do
    local name = take(1)
    results[#results + 1] = operations[name]()
  end
  forgetQuietNodes()
  -- This comes after the operations. A script that failed in one of them must not count as carried out.
  if not repeated then
    set('t:' .. node, number)
    set('bytes', bytes)
  end

  local ttl, maxAge = tonumber((active or called) and ARGV[4] or ARGV[5]), tonumber(ARGV[7])
  -- The time by the clock of Redis, or nil if the step has logged nothing. It stays text, since Lua would write a number of so many
  -- digits with an exponent.
  local time = logged and string.match(logged, '^%d+')
  local function isDue(name, every)
    local elapsed = time and tonumber(time) - whole(fields[name])
    return not elapsed or elapsed < 0 or elapsed >= every
  end
  if used and (lengthened or isDue('kept', slackOf(ttl))) then
    -- A repeat logs nothing. Its first run has stored the time.
    if time then redis.call('HSET', record, 'seen', time) end
    expireIn(record, ttl)
    expireIn(streams, ttl)
    if time then set('kept', time) end
  end
  if logged then
    -- A log that is still a string is not trimmed.
    if ARGV[3] ~= '' and not fields.first then
      local most = tonumber(ARGV[3])
      if bytes - whole(fields.from) > most then
        local oldest, map = trimBytes(events, get('map'), bytes - most, logged, bytesBefore)
        if map then set('map', map) end
        set('from', oldest)
      end
    end
    if lengthened or isDue('trimmed', slackOf(math.min(ttl, maxAge))) then
      if maxAge > 0 and not fields.first then
        redis.call('XTRIM', events, 'MINID', string.format('%.0f', tonumber(time) - maxAge))
      end
      expireLog(events, math.min(ttl, maxAge))
      set('trimmed', time)
    end
  end
  write()
  wake()
  if not stale then
    local only = #results == 1 and results[1]
    -- These are the two steps of a plain call. No part of the result has a space. One text costs Redis and the node less than a list.
    if only and (only[1] == 'opened' or only[1] == 'appended') then return revision .. ' ' .. table.concat(only, ' ') end
    return { 'ok', revision, '', '', results }
  end
  return { 'ok', revision, redis.call('HGETALL', record), redis.call('HGET', streams, 'h:' .. STANDALONE) or '', results }
end
