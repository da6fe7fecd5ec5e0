-- The streams hash of a session. Times are milliseconds by the clock of Redis. Its fields:
--
--   n:<stream>  "<number>:<log id>" of the stream's last message
--   h:<stream>  "<node>:<token>" of the connection that holds the stream
--   b:<stream>  the earlier holders, newest first, separated by spaces. If the connection of the present holder was never used, the
--               stream goes back to the newest of them.
--   w:<stream>  "<number>:<log id>" up to which earlier connections have written the stream (standalone stream only)
--   m:<stream>  the number of the last message when a connection took the stream from another one, which may have shown that
--               message without a report (standalone stream only)
--   x:<stream>  "<node>": the node executes the stream's requests; "+<node>": it is to execute them and has not begun;
--               "-": the executor has closed; "-<node>": the executor has lost the session to another owner
--   a:<stream>  "1": another node had begun the requests before
--   d:<stream>  the number of the commit that assigned the requests to their executor
--   o:<stream>  the trace of its requests, if they have one
--   p:<stream>  how many requests of the stream still run
--   r:<id>      the stream of a running request
--   c:<key>     "<number>:<log id>" of the last message with a coalescing key
--   ini         "<node>:<number> <node>": the commit that made the session active, and the node that handles `initialized`
--   owned       the number of the commit that made the session's owner the owner
--   run         how many requests run
--   bytes       how many bytes have ever been logged
--   kept        when the session's life was last prolonged (see lifetimes.lua)
--   trimmed     when the log was last trimmed by age (see lifetimes.lua)
--   from        a lower bound of the `o` of the log's oldest entry
--   map         where the large messages of the log are (see log-map.lua)
--   first       "<number of entries>:<log id of the last one>" of a log that is still a string (see young-log.lua)
--   young       the text of a log that cannot have a key of its own for now (see young-log.lua)
--   res         "<number>:<time>-0": when a resumed stream was last logged, and how many have not been logged since
--   t:<node>    the number of the node's last commit in the session
--   quiet       the commit numbers of the nodes at the last look (see commit/quiet-nodes.lua)
--   full        "<node>:<number> ...": the last commits that the full outbox has refused in part, newest first
--   refused     "<stream> ...": the last exchanges that were refused, newest first
--   reps        the nodes with a replica, separated by spaces

-- The stream of a GET.
local STANDALONE = 'g'
-- The marks in the field x:<stream>.
local UNBEGUN = '+'
local RELEASED = '-'
-- How many earlier holders the field b:<stream> keeps.
local PREDECESSORS = 4

-- Parses the field x:<stream> and returns the executor, and whether it has begun. Without a field the executor is ''.
local function executorOf(field)
  if not field then return '', true end
  if string.sub(field, 1, 1) ~= UNBEGUN then return field, true end
  return string.sub(field, 2), false
end

-- Returns the list of connections in the field b:<stream> without the connection `except`.
local function predecessors(field, except)
  local list = {}
  for connection in string.gmatch(field or '', '%S+') do
    if connection ~= except then list[#list + 1] = connection end
  end
  return list
end
