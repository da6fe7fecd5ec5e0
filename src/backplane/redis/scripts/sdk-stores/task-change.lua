-- Gives a task another status, unless the task has ended.
--
-- KEYS: 1 task, 2 its queue
-- ARGV: 1 task id, 2 channel prefix, 3 node, 4 token of this change, 5 the task's session, or '' for any, 6 the task's executor,
--       or '' for any, 7 status, 8 '1' if the task ends with this status, 9 time (ISO 8601), 10 status message or '',
--       11 result (JSON) or '', 12 when the executor was found dead (ms) or ''
--
-- Returns { 'changed' }, { 'gone' } or { 'final', status }. A repeat has the same token, because the first reply was lost. It changes
-- nothing and answers 'changed'. When the task ends, the nodes that wait for it are told, and its time to live begins anew.
-- A queue without messages has no key. So the script declares only the task when it is sent again (see script.ts).

--- @include "dead-nodes"
--- @include "session-keys"
--- @include "tasks"
--- @include "wake-ups"

local task, queue, node = KEYS[1], KEYS[2] or KEYS[1] .. ':queue', ARGV[3]
local current = redis.call('HMGET', task, 'st', 'k', 's', 'x', 'ttl', 'w')
local status = current[1]
if not status then return { 'gone' } end
if ARGV[5] ~= '' and current[3] ~= '' and current[3] ~= ARGV[5] then return { 'gone' } end
if current[2] == ARGV[4] then return { 'changed' } end
if hasEnded(status) then return { 'final', status } end
if ARGV[6] ~= '' and (current[4] ~= ARGV[6] or isStale(ARGV[12])) then return { 'final', status } end
redis.call('HSET', task, 'st', ARGV[7], 'up', ARGV[9], 'k', ARGV[4])
if ARGV[10] ~= '' then redis.call('HSET', task, 'msg', ARGV[10]) end
if ARGV[11] ~= '' then redis.call('HSET', task, 'r', ARGV[11]) end
if ARGV[8] == '1' then
  redis.call('PEXPIRE', task, current[5])
  onLog('PEXPIRE', queue, current[5])
  tellNodes(ARGV[2], current[6], nil, 'task ' .. ARGV[1])
  redis.call('HDEL', task, 'w')
else
  redis.call('HSET', task, 'x', node)
end
wake()
return { 'changed' }
