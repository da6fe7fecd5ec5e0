-- Which node owns the session.

--- @include "commit/step"
--- @include "streams-hash"
--- @include "wake-ups"

local function setOwner()
  step.owner = step.node
  redis.call('HSET', step.record, 'own', step.node)
end

-- Makes this node the owner if the session has none, or if its owner is the node `dead`. Returns the owner.
local function takeOwnershipIfFree(dead)
  if not step.repeated and (step.owner == '' or step.owner == dead) then
    -- The former owner may only have been paused. It has to learn that it is not the owner any more.
    if step.owner ~= '' then tell(step.channels, step.owner, 'disowned ' .. step.sid) end
    setOwner()
    step.becameOwner = true
    set('owned', step.number)
  end
  return step.owner
end

-- Returns whether this commit has made the node the owner. A repeat says the same, unless the session has another owner by now.
local function becameOwner()
  if not step.repeated then return step.becameOwner end
  return step.owner == step.node and get('owned') == step.number
end

-- Returns two values for a stream that the owner `name` is to execute: the field x:<stream>, and the owner if it is another node (else
-- '').
local function executorFor(name)
  if name == step.node then return step.node, '' end
  return UNBEGUN .. name, name
end
