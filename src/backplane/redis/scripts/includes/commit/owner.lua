-- Which node owns the session.

--- @include "commit/step"
--- @include "streams-hash"
--- @include "wake-ups"

-- The owner of the session: this node, where nobody is, or one that is known to be dead.
local function takeOwnershipIfFree(dead)
  if not repeated and (owner == '' or owner == dead) then
    -- It may only have been paused: then it is to know.
    if owner ~= '' then tell(channels, owner, 'disowned ' .. sid) end
    owner = node
    redis.call('HSET', record, 'own', node)
  end
  return owner
end

-- The field x:<stream> of a stream that this owner is to execute, and whether that is another node.
local function executorFor(name)
  if name == node then return node, '' end
  return UNBEGUN .. name, name
end
