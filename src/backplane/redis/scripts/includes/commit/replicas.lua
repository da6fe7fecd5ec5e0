-- Who has a replica of the session, and who owns it.

local function reps() return get('reps') or '' end
local function hasReplica(list, name) return string.find(' ' .. list .. ' ', ' ' .. name .. ' ', 1, true) ~= nil end

-- A caller that has no replica, or one of another revision, needs the record. From now on it has one: it may have been told so
-- before, and a failover have lost that. One that names no revision has none, and will have none.
local function check(known)
  if known ~= '0' then
    local list = reps()
    if not hasReplica(list, node) then set('reps', list == '' and node or (list .. ' ' .. node)) end
  end
  if known ~= revision then stale = true end
end

-- The owner of the session: this node, where nobody is, or one that is known to be dead.
local function ownerUnless(dead)
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
