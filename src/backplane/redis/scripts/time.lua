-- What the clock of this server says.
--
-- KEYS: 1 record of a session: it says which server of a cluster is asked
--
-- Returns milliseconds, as text.
return timeNow()
