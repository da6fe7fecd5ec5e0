-- Messages from a script to nodes.

-- A bigger message is not sent along with its wake-up: the follower reads it from the log.
local INLINE_BYTES = 65536

-- Wake-ups are sent by `wake`, with which each script ends that has written something: a step that is refused tells nobody.
local wakeUps = {}
local function tell(channels, node, line, payload)
  local at = #wakeUps
  wakeUps[at + 1], wakeUps[at + 2] = channels .. node, '1 ' .. line .. '\n' .. (payload or '')
end

-- Tells every node of a list that is separated by spaces, but for `except`.
local function tellNodes(channels, nodes, except, line, payload)
  for node in string.gmatch(nodes or '', '%S+') do
    if node ~= except then tell(channels, node, line, payload) end
  end
end

local function wake()
  -- Only wake-ups: a step that is half done because a channel is refused would be worse. The lease's probe finds that out.
  for at = 1, #wakeUps, 2 do redis.pcall('PUBLISH', wakeUps[at], wakeUps[at + 1]) end
end
