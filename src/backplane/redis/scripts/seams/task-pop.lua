-- Takes the first message, or all of them, out of a task's queue.
--
-- KEYS: 1 task, 2 its queue, 3 what was taken by this call
-- ARGV: 1 session that asks or '', 2 '1': it may have been carried out already, 3 how long that is remembered (ms), 4 '1': all
--
-- Returns the messages; none, where the task is another session's. A call whose reply was lost finds again what it took.
local queue, taken = KEYS[2], KEYS[3]
local of = redis.call('HGET', KEYS[1], 's')
if ARGV[1] ~= '' and of and of ~= '' and of ~= ARGV[1] then return {} end
if ARGV[2] == '1' and redis.call('EXISTS', taken) == 1 then return redis.call('LRANGE', taken, 0, -1) end
local items = redis.call('LRANGE', queue, 0, ARGV[4] == '1' and -1 or 0)
if #items == 0 then return items end
local messages = {}
for at, item in ipairs(items) do
  local _, message = split(item, ' ')
  messages[at] = message
  redis.call('RPUSH', taken, message)
end
redis.call('PEXPIRE', taken, ARGV[3])
redis.call('LTRIM', queue, #items, -1)
return messages
