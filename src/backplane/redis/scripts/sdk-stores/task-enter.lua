-- Enters a task into the list of its session, unless the session has too many tasks.
--
-- KEYS: 1 list of the session's tasks: a sorted set of ids. The score is the time of creation in microseconds, and no two are the same.
-- ARGV: 1 task id, 2 most tasks, 3 how long the task lives at most (ms)
--
-- Returns { 'entered' }, or { 'full', ids } with up to a thousand random ids. Some of these tasks may be gone by now, and the node
-- looks. All of them could be ten thousand, and many tasks may come at the same time. A task that is in the list stays as it is.

local list = KEYS[1]
if redis.call('ZSCORE', list, ARGV[1]) then return { 'entered' } end
if redis.call('ZCARD', list) >= tonumber(ARGV[2]) then return { 'full', redis.call('ZRANDMEMBER', list, 1000) } end
local time = redis.call('TIME')
local score = time[1] * 1000000 + time[2]
local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
if last and tonumber(last) >= score then score = tonumber(last) + 1 end
redis.call('ZADD', list, string.format('%.0f', score), ARGV[1])
if redis.call('PTTL', list) < tonumber(ARGV[3]) then redis.call('PEXPIRE', list, ARGV[3]) end
return { 'entered' }
