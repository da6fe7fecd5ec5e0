-- One atomic step of a node in a session that only appends messages of the server.
--
-- KEYS, ARGV: as those of commit.lua, with operations `append` alone
--
-- Returns what commit.lua would.

--- @include "plain/plain-append"
--- @include "commit/append"
--- @include "commit/run-step"
