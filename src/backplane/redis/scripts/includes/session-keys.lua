-- The keys of a session, and commands on a key that may be missing for a reason.

-- Returns the keys of the record, the streams hash and the log. A script that is sent again declares the first ones only
-- (see script.ts).
local function sessionKeys()
  return KEYS[1], KEYS[2] or KEYS[1] .. ':streams', KEYS[3] or KEYS[1] .. ':events'
end

-- Runs a command on the log of a session or the queue of a task. Returns nil where that key is missing while its slot is moved
-- to another server of a cluster: then the key cannot be made here.
local function onLog(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.find(reply.err, 'non local key', 1, true) then return nil end
  -- Raises the same error, in the form that this version of Redis gives it.
  return redis.call(...)
end
