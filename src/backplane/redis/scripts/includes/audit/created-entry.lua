-- What create.lua adds to the outbox of the audit trail.

--- @include "audit/session-end"

-- Ends the chain of an expired session that had the same id, unless its end waits already.
local function endFormer(outbox)
  if not isAudited(outbox) then return end
  local hasEnded = redis.call('HDEL', outbox.counts, 'e:' .. outbox.sid) == 1
  if hasEnded then return end
  addEnd(outbox, 'expired')
  redis.call('HDEL', outbox.counts, 'e:' .. outbox.sid)
end

local function copyWithMessage(outbox, id, message, ...)
  local given = { ... }
  given[#given + 1] = 'm'
  given[#given + 1] = message
  outbox.copy(id, message, unpack(given))
end

-- Adds the note `session.created` with what the record has of the principal and of `initialize`. `count` arguments from number 9 on are
-- the fields of the record and their values.
local function copyCreated(outbox, id, node, count)
  local principal, seal, initialize, version = '', nil, nil, ''
  for at = 9, 8 + count, 2 do
    local name, value = ARGV[at], ARGV[at + 1]
    -- A long value has several fields, in their order: `init`, `init1` and so on.
    if name == 'pr' then principal = value
    elseif name == 'pv' then version = value
    elseif string.find(name, '^seal%d*$') then seal = (seal or '') .. value
    elseif string.find(name, '^init%d*$') then initialize = (initialize or '') .. value end
  end
  -- Without a version, the client's `initialize` comes later.
  if version ~= '' then outbox.initialize = initialize end
  if seal then outbox.copy(id, nil, 'k', 'session.created', 'by', node, 'pr', principal, 'seal', seal)
  else outbox.copy(id, nil, 'k', 'session.created', 'by', node, 'pr', principal) end
end
