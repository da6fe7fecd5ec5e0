-- The entry of an outbox which says that a session has ended.

--- @include "log-entry"

-- Returns whether the outbox has anything of the session: entries, a gap or a chain.
local function isAudited(outbox)
  if outbox.isNew then return false end
  return outbox.ofSession > 0 or outbox.gap ~= nil or redis.call('HEXISTS', outbox.key .. ':chains', outbox.sid) == 1
end

-- Adds the entry, also to a full outbox. The caller closes the outbox after that.
local function addEnd(outbox, reason)
  local size = ENTRY_BYTES
  if outbox.gap then
    redis.call('XADD', outbox.key, '*', 'u', outbox.sid, 'gap', outbox.gap, 'from', outbox.from)
    outbox.gap, outbox.from, size = nil, nil, size + ENTRY_BYTES
  end
  redis.call('HSET', outbox.counts, 'e:' .. outbox.sid, redis.call('XADD', outbox.key, '*', 'u', outbox.sid, 'end', reason))
  outbox.bytes, outbox.ofSession, outbox.hasChanged = outbox.bytes + size, outbox.ofSession + size, true
end
