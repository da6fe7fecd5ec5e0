-- Notes that a node waits for the next change of a task.
--
-- KEYS: 1 task, 2 its queue
-- ARGV: 1 node
--
-- Returns 1 if there is no need to wait: the task is gone, has ended, or has a message in its queue. Else it returns 0.

--- @include "session-keys"
--- @include "tasks"

local queue = KEYS[2] or KEYS[1] .. ':queue'
local current = redis.call('HMGET', KEYS[1], 'st', 'w')
local status, waiting = current[1], current[2] or ''
if not status or hasEnded(status) then return 1 end
if (onLog('LLEN', queue) or 0) > 0 then return 1 end
for node in string.gmatch(waiting, '%S+') do
  if node == ARGV[1] then return 0 end
end
redis.call('HSET', KEYS[1], 'w', waiting == '' and ARGV[1] or waiting .. ' ' .. ARGV[1])
return 0
