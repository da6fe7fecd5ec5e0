-- The streams hash of a session. Its fields:
--
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
--   quiet       of many nodes, those numbers some time ago (see commit/quiet-nodes.lua)
--   reps        the nodes with a live replica, space-separated

-- The name of the stream of a GET.
local STANDALONE = 'g'
-- What stands in the field x:<stream> in front of a node that has not begun, and alone or in front of one that has lost it.
local UNBEGUN = '+'
local RELEASED = '-'
-- So many claims in a row may turn out never to have been used.
local PREDECESSORS = 4

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
