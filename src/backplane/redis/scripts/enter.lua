-- Enters a new session into the index of its principal, unless the principal has too many sessions.
--
-- KEYS: 1 index of the principal, a sorted set:
--         <session id>      its score is the time (ms) of its creation, or 0 if the session is known to have been used
--         <n> <session id>  its score is the negative time of its creation. A session with a large handshake has several of
--                           these members, and each counts as one more session.
-- ARGV: 1 session id, 2 most sessions, 3 most of them that were never used, 4 for how long such a session lives (ms),
--       5 session TTL (ms), 6 as how many sessions this one counts until it is used
--
-- Returns { 'entered' }, or { 'sessions' | 'pending', members } if there are too many. Some of these members may be gone or used by
-- now, so the node checks them. They are a random thousand of all sessions, or about two hundred of those that may be pending. The
-- script does not return all members, because there may be ten thousand, and many sessions may be created at the same time.

local WINDOWS, WINDOW = 4, 50
local index, id, weight = KEYS[1], ARGV[1], tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = string.format('%.0f', now - ARGV[4])
local over = redis.call('ZRANGEBYSCORE', index, '(-' .. since, '(0', 'LIMIT', 0, 1000)
if #over > 0 then redis.call('ZREM', index, unpack(over)) end
if redis.call('ZCOUNT', index, 0, '+inf') >= tonumber(ARGV[2]) then
  if redis.call('ZSCORE', index, id) then return { 'entered' } end
  return { 'sessions', redis.call('ZRANDMEMBER', index, 1000) }
end
-- An index with fewer members than may be pending needs no count.
if redis.call('ZCARD', index) + weight > tonumber(ARGV[3]) then
  local weights = redis.call('ZCOUNT', index, '-inf', '-' .. since)
  local pending = weights + redis.call('ZCOUNT', index, since, '+inf')
  if pending + weight > tonumber(ARGV[3]) then
    if redis.call('ZSCORE', index, id) then return { 'entered' } end
    -- Without a seed, Redis gives each script the same random numbers.
    math.randomseed(tonumber(time[2]))
    local members = {}
    local function take(from, to, skip, count)
      for _, each in ipairs(redis.call('ZRANGEBYSCORE', index, from, to, 'LIMIT', skip, count)) do
        members[#members + 1] = each
        count = count - 1
      end
      return count
    end
    for _ = 1, pending > WINDOW and WINDOWS or 1 do
      local skip = math.random(0, math.max(0, pending - WINDOW))
      local left = take('-inf', '-' .. since, skip, WINDOW)
      take(since, '+inf', math.max(0, skip - weights), left)
    end
    return { 'pending', members }
  end
end
local at = string.format('%.0f', now)
redis.call('ZADD', index, 'NX', at, id)
for n = 2, weight do redis.call('ZADD', index, 'NX', '-' .. at, n .. ' ' .. id) end
redis.call('PEXPIRE', index, ARGV[5])
return { 'entered' }
