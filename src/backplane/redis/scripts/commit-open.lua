-- One atomic step of a node in a session that only opens streams.
--
-- KEYS, ARGV: as those of commit.lua, with operations `open` alone
--
-- Returns what commit.lua would.

--- @include "plain/plain-open"
--- @include "commit/open"
--- @include "commit/run-step"
