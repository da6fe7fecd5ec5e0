-- Enters a new session into the index of its principal, if that has not too many.
--
-- KEYS: 1 index of the principal: a sorted set of session ids, by the time (ms) of their creation, or 0 for those that
--       are known to have been used
-- ARGV: 1 session id, 2 most sessions, 3 most of them that were never used, 4 for how long such a session lives (ms),
--       5 session TTL (ms)
--
-- Returns 'entered', or 'sessions' | 'pending' when there are too many, and the ids among which some may be gone or used:
-- a thousand by chance of all sessions, or some two hundred of those that may be pending. All of them would be ten thousand,
-- for each of the sessions that come at the same time.
local WINDOWS, WINDOW = 4, 50
local index, id = KEYS[1], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local all = redis.call('ZCARD', index)
if all >= tonumber(ARGV[2]) then
  if redis.call('ZSCORE', index, id) then return { 'entered' } end
  return { 'sessions', redis.call('ZRANDMEMBER', index, 1000) }
end
local since = string.format('%.0f', now - ARGV[4])
-- With fewer than may be pending there is nothing to count.
local pending = all >= tonumber(ARGV[3]) and redis.call('ZCOUNT', index, since, '+inf') or 0
if pending >= tonumber(ARGV[3]) then
  if redis.call('ZSCORE', index, id) then return { 'entered' } end
  -- Each script begins with the same numbers otherwise.
  math.randomseed(tonumber(time[2]))
  local ids = {}
  for _ = 1, pending > WINDOW and WINDOWS or 1 do
    local from = math.random(0, math.max(0, pending - WINDOW))
    for _, each in ipairs(redis.call('ZRANGEBYSCORE', index, since, '+inf', 'LIMIT', from, WINDOW)) do
      ids[#ids + 1] = each
    end
  end
  return { 'pending', ids }
end
redis.call('ZADD', index, 'NX', string.format('%.0f', now), id)
redis.call('PEXPIRE', index, ARGV[5])
return { 'entered' }
