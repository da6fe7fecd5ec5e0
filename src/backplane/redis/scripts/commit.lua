-- One atomic step of a node in a session: any number of operations, in order.
--
-- KEYS: 1 record, 2 streams, 3 events
-- ARGV: 1 node, 2 number of the commit, 3 most bytes of the log or '', 4 session TTL (ms), 5 TTL before `initialized` (ms),
--       6 most events kept, 7 longest time kept (ms), 8 channel prefix, 9 session id,
--       10 a log id after which its entries have to come, or '', then the operations:
--   open     <principal> <stream> <token> <revision|-> <owned 1|''> <most|''> <#requests> <request>... <#messages> <message>...
--   receive  <principal> <revision|-> <route> <argument> <message>
--   append   <stream> <ends|''> <asks 1|''> <effect|''> <value> <seal|''> <condition|''> <value> <coalesce|''> <has message 1|''> <message>
--   detach   <stream> <token> <n> <log id> <never used 1|''>
--   hangup   <stream>
--   claim    <stream> <from> <looked at|''> <revision|-> <owned 1|''>
--   assign   <stream|''> <dead|''> <looked at|''> <revision|->
--   release  <stream>
--   abandon  <stream> <#requests> <request>...
--   note     <kind> <stream> <request> <from|''> <only after 'appended' 1|''>
--   forget
--
-- Returns { 'gone' }, or { 'ok', revision, record (flat) or '', holder of the standalone stream or '', results }. A result is a list
-- that starts with its status (see OperationResult in operations.ts). If the only result is `opened` or `appended` and the reply
-- has no record, the script returns the text "<revision> <the result, separated by spaces>".
--
-- A repeat has the same number, because the first reply was lost. It changes nothing.
--
-- Each run of a script defines all functions of the script, used or not, and that takes time. Most steps have operations of one
-- kind only. So the most frequent kinds have scripts that define no more than they need: commit-open, commit-append, commit-receive.

--- @include "commit/append"
--- @include "commit/connections"
--- @include "commit/execution"
--- @include "commit/open"
--- @include "commit/receive"
--- @include "commit/run-step"

return runStep({
  open = open,
  receive = receive,
  append = append,
  detach = detach,
  hangup = hangup,
  claim = claim,
  assign = assign,
  release = release,
  abandon = abandon,
  note = note,
  forget = forget,
})
