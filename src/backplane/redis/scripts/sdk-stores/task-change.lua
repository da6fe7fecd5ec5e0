-- Gives a task another status, unless the task has ended.
--
-- KEYS: 1 task, 2 its queue
-- ARGV: 1 node, 2 token of this change, 3 the task's session, or '' for any, 4 the task's executor, or '' for any, 5 status,
--       6 '1' if the task ends with this status, 7 time (ISO 8601), 8 status message or '', 9 result (JSON) or '',
--       10 when the executor was found dead (ms) or ''
--
-- Returns { 'changed' }, { 'gone' } or { 'final', status }. A repeat has the same token, because the first reply was lost. It changes
-- nothing and answers 'changed'. When the task ends, its time to live begins anew.
-- A queue without messages has no key. So the script declares only the task when it is sent again (see script.ts).

--- @include "dead-nodes"
--- @include "session-keys"
--- @include "tasks"

local task, queue, node = KEYS[1], KEYS[2] or KEYS[1] .. ':queue', ARGV[1]
local current = redis.call('HMGET', task, 'st', 'k', 's', 'x', 'ttl')
local status = current[1]
if not status then return { 'gone' } end
if ARGV[3] ~= '' and current[3] ~= '' and current[3] ~= ARGV[3] then return { 'gone' } end
if current[2] == ARGV[2] then return { 'changed' } end
if hasEnded(status) then return { 'final', status } end
if ARGV[4] ~= '' and (current[4] ~= ARGV[4] or isStale(ARGV[10])) then return { 'final', status } end
redis.call('HSET', task, 'st', ARGV[5], 'up', ARGV[7], 'k', ARGV[2])
if ARGV[8] ~= '' then redis.call('HSET', task, 'msg', ARGV[8]) end
if ARGV[9] ~= '' then redis.call('HSET', task, 'r', ARGV[9]) end
if ARGV[6] == '1' then
  redis.call('PEXPIRE', task, current[5])
  onLog('PEXPIRE', queue, current[5])
else
  redis.call('HSET', task, 'x', node)
end
return { 'changed' }
