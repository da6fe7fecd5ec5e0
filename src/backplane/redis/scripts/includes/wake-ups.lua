-- Messages that a script sends to nodes.

-- A wake-up carries a message up to this size. The follower reads a bigger one from the log.
local INLINE_BYTES = 65536

-- Messages that wait for `wake`. A script publishes only after all its writes, so that a script which Redis refuses in the
-- middle has sent nothing.
local wakeUps = {}

-- Adds a message to a node. A script that uses it ends with `wake`.
local function tell(channels, node, line, payload)
  local at = #wakeUps
  wakeUps[at + 1], wakeUps[at + 2] = channels .. node, '1 ' .. line .. '\n' .. (payload or '')
end

-- Adds the same message to each node of a list that is separated by spaces, but for the node `except`.
local function tellNodes(channels, nodes, except, line, payload)
  for node in string.gmatch(nodes or '', '%S+') do
    if node ~= except then tell(channels, node, line, payload) end
  end
end

-- Publishes the messages. An error of PUBLISH is ignored: the step is written, and a follower finds what it missed in the log. The
-- probe of the node's lease reports a channel that the ACL of Redis refuses.
local function wake()
  for at = 1, #wakeUps, 2 do redis.pcall('PUBLISH', wakeUps[at], wakeUps[at + 1]) end
end
