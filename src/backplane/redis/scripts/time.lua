-- Tells the time by the clock of the Redis server that has a session.
--
-- KEYS: 1 record of the session. In a cluster it decides which server is asked.
-- ARGV: none
--
-- Returns milliseconds, as text.

--- @include "clock"

return timeNow()
