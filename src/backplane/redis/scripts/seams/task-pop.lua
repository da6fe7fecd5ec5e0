-- Takes the first message, or all of them, out of a task's queue.
--
-- KEYS: 1 its queue, 2 what was taken by this call
-- ARGV: 1 '1': it may have been carried out already, 2 how long that is remembered (ms), 3 '1': all
--
-- Returns the messages. A call whose reply was lost finds again what it took.
local queue, taken = KEYS[1], KEYS[2]
if ARGV[1] == '1' and redis.call('EXISTS', taken) == 1 then return redis.call('LRANGE', taken, 0, -1) end
local items = redis.call('LRANGE', queue, 0, ARGV[3] == '1' and -1 or 0)
if #items == 0 then return items end
local messages = {}
for at, item in ipairs(items) do
  local _, message = split(item, ' ')
  messages[at] = message
  redis.call('RPUSH', taken, message)
end
redis.call('PEXPIRE', taken, ARGV[2])
redis.call('LTRIM', queue, #items, -1)
return messages
