-- Which nodes have a replica of the session.

--- @include "commit/step"

local function reps() return get('reps') or '' end
local function hasReplica(list, name) return string.find(' ' .. list .. ' ', ' ' .. name .. ' ', 1, true) ~= nil end

local function addReplica()
  local list = reps()
  if not hasReplica(list, node) then set('reps', list == '' and node or (list .. ' ' .. node)) end
end

-- A caller that has no replica, or one of another revision, needs the record. From now on it has one: it may have been told so
-- before, and a failover have lost that. One that names no revision has none, and will have none.
local function registerReplica(known)
  if known ~= '0' then addReplica() end
  if known ~= revision then stale = true end
end
