-- Which node owns the session.

--- @include "commit/step"
--- @include "streams-hash"
--- @include "wake-ups"

-- Makes this node the owner if the session has none, or if its owner is the node `dead`. Returns the owner.
local function takeOwnershipIfFree(dead)
  if not repeated and (owner == '' or owner == dead) then
    -- The former owner may only have been paused. It has to learn that it is not the owner any more.
    if owner ~= '' then tell(channels, owner, 'disowned ' .. sid) end
    owner = node
    redis.call('HSET', record, 'own', node)
  end
  return owner
end

-- Returns the field x:<stream> for a stream that the owner `name` is to execute, and that owner if it is another node, else ''.
local function executorFor(name)
  if name == node then return node, '' end
  return UNBEGUN .. name, name
end
