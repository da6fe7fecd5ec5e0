-- One atomic step of a node in a session that only logs requests together with their answers.
--
-- KEYS, ARGV: as those of commit.lua, with operations `exchange` alone
--
-- Returns what commit.lua would.

--- @include "plain/plain-exchange"
--- @include "commit/exchange"
--- @include "commit/run-step"
