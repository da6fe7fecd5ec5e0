-- Puts a message at the end of a task's queue, or back in front.
--
-- KEYS: 1 task, 2 its queue (a list)
-- ARGV: 1 token of this message, 2 '1' if an earlier run may have put the message, 3 most messages, or '' to put the message in
--       front, however many there are, 4 how long a queue without a task is kept (ms), 5 message, 6 how long the script remembers
--       that it has put this message (ms)
--
-- Returns the length of the queue, or -1 if the queue is full. An entry is "<token> <message>".

--- @include "session-keys"

local task, queue, token, most = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[3])
-- This key remembers the message, since it may have been taken out of the queue by now.
local put = task .. ':put:' .. token
if ARGV[2] == '1' then
  if onLog('EXISTS', put) == 1 then return redis.call('LLEN', queue) end
  for _, item in ipairs(redis.call('LRANGE', queue, most and -100 or 0, most and -1 or 99)) do
    if string.sub(item, 1, #token + 1) == token .. ' ' then return redis.call('LLEN', queue) end
  end
end
if most and redis.call('LLEN', queue) >= most then return -1 end
local length = redis.call(most and 'RPUSH' or 'LPUSH', queue, token .. ' ' .. ARGV[5])
onLog('SET', put, '', 'PX', ARGV[6])
local left = redis.call('PTTL', task)
redis.call('PEXPIRE', queue, left > 0 and left or ARGV[4])
return length
