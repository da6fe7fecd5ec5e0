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
-- Returns { 'gone' }, or { 'ok', revision, record (flat) or '', holder of the standalone stream or '', results },
-- where a result is a list that starts with its status (see OperationResult in backplane.ts); or, for a single `opened`
-- or `appended` and no record, "<revision> <the result, separated by spaces>".
--
-- A repeat (same number again, because a reply was lost) changes nothing.
--
-- What a script defines costs time with each run, used or not. Most steps are operations of one kind, so the most frequent
-- kinds have a script each, which defines no more than it needs: commit-open, commit-append, commit-receive.

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
