-- Takes the first message, or as many messages as one step may, out of a task's queue.
--
-- KEYS: 1 task, 2 its queue
-- ARGV: 1 session that asks or '', 2 '1' if an earlier run may have taken messages, 3 how long taken messages are remembered (ms),
--       4 '1' to take as many messages as one step may, 5 token of this call, under which the taken messages are stored
--
-- Returns the messages. The list is empty if the queue is, or if the task belongs to another session. A call whose reply was lost
-- finds again what it has taken.

--- @include "session-keys"
--- @include "stored-values"

local TAKEN_AT_ONCE, TAKEN_BYTES = 100, 262144
local queue, taken = KEYS[2] or KEYS[1] .. ':queue', KEYS[1] .. ':taken:' .. ARGV[5]
local of = redis.call('HGET', KEYS[1], 's')
if ARGV[1] ~= '' and of and of ~= '' and of ~= ARGV[1] then return {} end
if ARGV[2] == '1' and onLog('EXISTS', taken) == 1 then return redis.call('LRANGE', taken, 0, -1) end
local messages, bytes = {}, 0
local most = ARGV[4] == '1' and TAKEN_AT_ONCE or 1
while #messages < most and bytes < TAKEN_BYTES do
  local item = (onLog('LRANGE', queue, #messages, #messages) or {})[1]
  if not item then break end
  local _, message = split(item, ' ')
  messages[#messages + 1] = message
  bytes = bytes + #message
  -- While a cluster moves the slot, the key of the taken messages cannot be made. The node tries again later.
  if not onLog('RPUSH', taken, message) then return redis.error_reply('TRYAGAIN The slot of this task is being moved') end
end
if #messages == 0 then return messages end
redis.call('PEXPIRE', taken, ARGV[3])
redis.call('LTRIM', queue, #messages, -1)
return messages
