-- The keys of a session, and commands on a key that a move of its slot has made unreachable.

-- Returns the keys of the record, the streams hash and the log. A script that is sent again during a move declares only the first
-- of them (see script.ts), and derives the names of the others.
local function sessionKeys()
  return KEYS[1], KEYS[2] or KEYS[1] .. ':streams', KEYS[3] or KEYS[1] .. ':events'
end

-- Runs a command on the log of a session or the queue of a task. While a cluster moves the slot of a key to another server, Redis
-- refuses commands on a key that does not exist, and the key cannot be made here. This function then returns nil.
local function onLog(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if string.find(reply.err, 'non local key', 1, true) then return nil end
  -- This raises the same error, in the form that this version of Redis gives it.
  return redis.call(...)
end
