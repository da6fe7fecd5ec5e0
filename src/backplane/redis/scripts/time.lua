-- What the clock of this server says.
--
-- KEYS: 1 record of a session: it says which server of a cluster is asked
-- ARGV: none
--
-- Returns milliseconds, as text.

--- @include "clock"

return timeNow()
