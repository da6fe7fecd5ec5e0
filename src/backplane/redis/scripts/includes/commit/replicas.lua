-- Which nodes have a replica of the session.

--- @include "commit/step"

-- Returns the names of these nodes, separated by spaces.
local function reps() return get('reps') or '' end
local function hasReplica(list, name) return string.find(' ' .. list .. ' ', ' ' .. name .. ' ', 1, true) ~= nil end

local function addReplica()
  local list = reps()
  if not hasReplica(list, step.node) then set('reps', list == '' and step.node or (list .. ' ' .. step.node)) end
end

-- Adds this node to the list, and puts the record into the reply if the node's replica has another revision than the record.
-- `known` is the revision of that replica. '-' means that the node is about to build its replica. '0' means that the node only needs
-- the record, and is not added. A node that already has its replica is added too, because a failover may have lost its name.
local function registerReplica(known)
  if known ~= '0' then addReplica() end
  if known ~= step.revision then step.stale = true end
end
