-- The outbox of the audit trail: adding entries to it.
--
-- An outbox has four keys. For an outbox with the key K:
--
--   K           a stream with the entries that wait. It is trimmed only by acknowledge.lua. Each entry has the fields of an entry of a
--               session's log but `o`, and these:
--                 i     its log id in the session's log. Missing with `end` and `gap`
--                 u     the session
--                 pr    with k session.created: the principal
--                 seal  with k session.created: the seal of the principal, if there is one
--                 init  the params of the client's `initialize`, if the record has them since this entry
--                 end   deleted, removed or expired: the session has ended. Such an entry has no message
--                 gap   this many entries of the session are missing here, and `from` is the time of the first of them (ms)
--   K:chains    a hash: session -> the state of its chain, as the archiver has stored it
--   K:gaps      a hash: session -> "<number> <ms>": how many of its entries were left out since its last copy, and since when
--   K:counts    a hash:
--                 b            how many bytes wait. Each entry counts ENTRY_BYTES and the bytes of its message
--                 b:<session>  how many of them are of this session
--                 e:<session>  the place in K of the entry with its `end`, while that waits
--                 g            how many sessions are in K:gaps, once an entry was left out
--                 l            "<most bytes of a session> <most bytes in all>" of the step that has last left an entry out
--                 s            where acknowledge.lua goes on looking through K:gaps
--                 a            the archiver that has claimed the outbox last
--                 m, n         the mark and the ordinal of the checkpoint
--
-- K:chains and K:gaps have a field without a name, so that all four keys exist from the first entry on. While a cluster moves the slot
-- of the keys, a script can tell from that whether it can reach them all.

--- @include "log-entry"

-- Opens the outbox for a step of the session `sid`. It reads one hash and writes nothing. `setting` is
-- "<policy> <most bytes of a session> <most bytes in all> <key>". The policy is one of these, with a `c` behind it in a cluster:
--   r  the step is refused if the outbox is full (`isFull`)
--   a  all entries are stored
--   d  entries over the bound are left out
--
-- Returns an error, with which the script has to end, if the outbox cannot be used now. Nothing may have been written before.
--
-- Each step with the option `audit` runs this, so it is short and makes few functions. Measured with Redis 7.0, a step takes about 7 us
-- longer than without the option, which is 27 us.
local function openOutbox(setting, sid)
  local policy, most, mostInAll, key = string.match(setting, '^(%a+) (%d+) (%d+) (.+)$')
  local counts = key .. ':counts'
  if #policy > 1 then
    -- While the slot moves, Redis refuses a command on two or more keys if one of them is missing here. It may be on the other server.
    local there = redis.pcall('EXISTS', key, counts, key .. ':chains', key .. ':gaps')
    if type(there) == 'table' then return redis.error_reply('TRYAGAIN The outbox is being moved') end
    policy = string.sub(policy, 1, 1)
  end
  local stored = redis.pcall('HMGET', counts, 'b', 'b:' .. sid, 'g')
  if stored.err then return redis.error_reply('ERR The outbox cannot be read') end
  local bytes, ofSession = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
  -- Another text than a number, or none of this size, was written by no script.
  if not bytes or not (bytes >= 0 and bytes < 1e15) then bytes = 0 end
  if not ofSession or not (ofSession >= 0 and ofSession < 1e15) then ofSession = 0 end
  most, mostInAll = tonumber(most), tonumber(mostInAll)

  local outbox = {
    key = key,
    counts = counts,
    sid = sid,
    -- How many bytes wait, in all and of the session.
    bytes = bytes,
    ofSession = ofSession,
    -- Whether nothing of the outbox exists.
    isNew = not stored[1],
    -- Whether the step has to be refused.
    isFull = policy == 'r' and (bytes >= mostInAll or ofSession >= most),
    -- How many entries of the session were left out since its last copy, and since when. They have no entry yet.
    gap = nil,
    from = nil,
    -- Whether there was a gap before this step.
    hadGap = false,
    -- The params of `initialize`. They are set before the entry that they belong to is copied.
    initialize = nil,
    hasChanged = false,
  }
  if stored[3] and stored[3] ~= '0' then
    outbox.gap, outbox.from = string.match(redis.call('HGET', key .. ':gaps', sid) or '', '^(%d+) (%d+)$')
    outbox.hadGap = outbox.gap ~= nil
  end

  -- Adds the copy of an entry of the session's log. `...` are its fields and values.
  function outbox.copy(id, message, ...)
    local size, isLeft = ENTRY_BYTES + (message and #message or 0), false
    if policy == 'd' then
      local needed = size + (outbox.gap and ENTRY_BYTES or 0)
      if outbox.bytes + needed > mostInAll or outbox.ofSession + needed > most then
        outbox.gap, outbox.from = (outbox.gap or 0) + 1, outbox.from or string.match(id, '^%d+')
        outbox.limits, outbox.hasChanged = string.match(setting, '^%a+ (%d+ %d+) '), true
        -- If nothing waits, no acknowledgment comes that would tell of the gap.
        if outbox.bytes > 0 or outbox.ofSession + ENTRY_BYTES > most or ENTRY_BYTES > mostInAll then return end
        isLeft, size = true, 0
      end
    end
    if outbox.gap then
      redis.call('XADD', key, '*', 'u', sid, 'gap', outbox.gap, 'from', outbox.from)
      outbox.gap, outbox.from, size = nil, nil, size + ENTRY_BYTES
    end
    if isLeft then
      -- The gap stands for the entry.
    elseif outbox.initialize then
      redis.call('XADD', key, '*', 'i', id, 'u', sid, 'init', outbox.initialize, ...)
      outbox.initialize = nil
    else
      redis.call('XADD', key, '*', 'i', id, 'u', sid, ...)
    end
    outbox.bytes, outbox.ofSession, outbox.hasChanged = outbox.bytes + size, outbox.ofSession + size, true
  end

  -- Stores the counts. A step calls this after its last entry.
  function outbox.close()
    if not outbox.hasChanged then return end
    redis.call('HSET', counts, 'b', outbox.bytes, 'b:' .. sid, outbox.ofSession)
    if outbox.isNew then
      redis.call('HSET', key .. ':chains', '', '')
      redis.call('HSET', key .. ':gaps', '', '')
    end
    if not outbox.gap and not outbox.hadGap then return end
    if outbox.gap then
      redis.call('HSET', key .. ':gaps', sid, outbox.gap .. ' ' .. outbox.from)
      if outbox.limits then redis.call('HSET', counts, 'l', outbox.limits) end
      if not outbox.hadGap then redis.call('HINCRBY', counts, 'g', 1) end
    else
      redis.call('HDEL', key .. ':gaps', sid)
      redis.call('HINCRBY', counts, 'g', -1)
    end
  end
  return outbox
end
