-- One atomic step of a node in a session that only receives messages of the client.
--
-- KEYS, ARGV: as those of commit.lua, with operations `receive` alone
--
-- Returns what commit.lua would.

--- @include "commit/receive"
--- @include "commit/run-step"
