-- Gives a task another status, unless it has ended.
--
-- KEYS: 1 task, 2 its queue
-- ARGV: 1 task id, 2 channel prefix, 3 node, 4 token of this change, 5 session, or '' for any, 6 the executor that it has
--       to have, or '' for any, 7 status, 8 '1': the task ends with it, 9 time (ISO 8601), 10 status message or '',
--       11 result (JSON) or '', 12 when the executor was dead (ms) or ''
--
-- Returns { 'changed' }, { 'gone' } or { 'final', status }. A repeat (same token, because a reply was lost) changes
-- nothing and answers 'changed'. Nodes that wait are told of the end, and the task is kept for its time anew.
-- A queue in which no message waits has no key: sent again, the script declares the task only (see script.ts).

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
