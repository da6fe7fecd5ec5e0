-- Shared by all scripts about sessions: the loader puts this text in front of each.
--
-- Fields of the streams hash of a session (KEYS[2] everywhere):
--   n:<stream>  "<number>:<log id>" of the stream's last message
--   h:<stream>  "<node>:<token>" of the connection that holds it
--   b:<stream>  those from which that connection took it, the latest first, separated by spaces: a claim may turn out
--               never to have been used, and then so may the one before
--   w:<stream>  "<number>:<log id>" up to which an earlier connection has written it (standalone stream only)
--   x:<stream>  the node that runs its requests, with a + in front while it has not begun; - alone: that node has closed;
--               with a - in front: that node has lost the session to another owner
--   a:<stream>  another node had begun them before
--   d:<stream>  the number of the commit that assigned them
--   p:<stream>  how many of them still run
--   r:<id>      the stream of a running request
--   c:<key>     number of the last message of a coalescing key
--   ini         "<node>:<number of the commit> <node>": who made the session active, and who handles `initialized`
--   run         how many requests run                bytes       how many bytes were ever logged
--   kept        when the session's time last began anew, trimmed     when the log was last trimmed by age: ms by the
--               clock of Redis; see SLACK_MS
--   from        the `o` of the oldest entry of the log, when it was last looked at
--   map         where the large messages of the log are, and how many bytes were logged before some of its places (see log-map.lua)
--   first       "<how many>:<log id of the last one>" of the log's first entries, as long as those are all it has (see young-log.lua)
--   young       the text of a log that cannot have a key of its own for now (see young-log.lua)
--   res         "<how many were not logged since>:<when it was last logged, ms>-0" of resumed streams
--   t:<node>    the number of the node's last commit
--   quiet       of many nodes, those numbers some time ago (see commit/finish.lua)
--   reps        the nodes with a live replica, space-separated

local STANDALONE = 'g'
local UNBEGUN = '+'
local RELEASED = '-'
-- So many claims in a row may turn out never to have been used.
local PREDECESSORS = 4
-- A bigger message is not sent along with its wake-up: the follower reads it from the log.
local INLINE_BYTES = 65536
-- What an entry of the log counts for beside its message, about.
local ENTRY_BYTES = 100

-- A session's time does not begin anew with each step, nor is the log trimmed with each, but once in so many ms (of short
-- times, a 64th). So that nothing goes too soon it all lives for as much longer.
local SLACK_MS = 1000
local function slackOf(ms) return math.min(SLACK_MS, math.floor(ms / 64)) end
local function expireIn(key, ms) redis.call('PEXPIRE', key, ms + slackOf(ms)) end

-- Says that this library cannot have written a value that is stored of the session: the session ends (see malformed.ts).
-- Only what a script reads from Redis is checked with it, never an argument.
local function malformed() error('MALFORMED') end

-- A whole number that is stored, or that this step is about to store -> the number; a missing field is 0.
local function whole(text)
  if not text then return 0 end
  if type(text) == 'number' then return text end
  if #text > 17 or not string.find(text, '^%-?%d+$') then malformed() end
  return tonumber(text)
end

-- The keys of a session. A script that is sent again declares the first ones only (see script.ts).
local function sessionKeys()
  return KEYS[1], KEYS[2] or KEYS[1] .. ':streams', KEYS[3] or KEYS[1] .. ':events'
end

-- Runs a command on the log of a session or the queue of a task. Returns nil where that key is missing while its slot is moved
-- to another server of a cluster: then the key cannot be made here.
local function onLog(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.find(reply.err, 'non local key', 1, true) then return nil end
  -- Raises the same error, in the form that this version of Redis gives it.
  return redis.call(...)
end
local function expireLog(events, ms) onLog('PEXPIRE', events, ms + slackOf(ms)) end

-- A stored text -> what comes before and after the separator.
local function split(text, separator)
  local at = string.find(text, separator, 1, true)
  if not at then malformed() end
  return string.sub(text, 1, at - 1), string.sub(text, at + 1)
end

-- "<number>:<log id>" -> number, log id; a missing field is the beginning.
local function position(text)
  if not text then return 0, '0-0' end
  local n, ms, counter = string.match(text, '^(%d+):(%d+)%-(%d+)$')
  if not n or #n > 15 or #ms > 15 or #counter > 19 then malformed() end
  return tonumber(n), string.sub(text, #n + 2)
end

-- The field x:<stream> -> the executor, whether it has begun; a missing field is nobody.
local function executorOf(field)
  if not field then return '', true end
  if string.sub(field, 1, 1) ~= UNBEGUN then return field, true end
  return string.sub(field, 2), false
end

-- The field b:<stream> -> its connections, but for one.
local function predecessors(field, except)
  local list = {}
  for connection in string.gmatch(field or '', '%S+') do
    if connection ~= except then list[#list + 1] = connection end
  end
  return list
end

-- Wake-ups are sent by `wake`, with which each script ends that has written something: a step that is refused tells nobody.
local wakeUps = {}
local function tell(channels, node, line, payload)
  local at = #wakeUps
  wakeUps[at + 1], wakeUps[at + 2] = channels .. node, '1 ' .. line .. '\n' .. (payload or '')
end

local function wake()
  -- Only wake-ups: a step that is half done because a channel is refused would be worse. The lease's probe finds that out.
  for at = 1, #wakeUps, 2 do redis.pcall('PUBLISH', wakeUps[at], wakeUps[at + 1]) end
end

-- Tells every node with a replica, but for `except`.
local function tellReplicas(channels, reps, except, line, payload)
  for node in string.gmatch(reps or '', '%S+') do
    if node ~= except then tell(channels, node, line, payload) end
  end
end
