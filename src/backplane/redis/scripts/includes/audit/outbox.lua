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
local function openOutbox(setting, sid)
  local policy, most, mostInAll, key = string.match(setting, '^(%a+) (%d+) (%d+) (.+)$')
  local counts, chains, gaps = key .. ':counts', key .. ':chains', key .. ':gaps'
  most, mostInAll = tonumber(most), tonumber(mostInAll)
  if #policy > 1 then
    -- While the slot moves, Redis refuses a command on two or more keys if one of them is missing here. It may be on the other server.
    local there = redis.pcall('EXISTS', key, chains, counts, gaps)
    if type(there) == 'table' then return redis.error_reply('TRYAGAIN The outbox is being moved') end
  end
  local stored = redis.pcall('HMGET', counts, 'b', 'b:' .. sid, 'g')
  if stored.err then return redis.error_reply('ERR The outbox cannot be read') end
  local function number(text)
    return text and #text <= 15 and string.find(text, '^%d+$') and tonumber(text) or 0
  end
  local bytes, ofSession, sessionsWithGaps = number(stored[1]), number(stored[2]), number(stored[3])
  local gap, from
  if sessionsWithGaps > 0 then
    gap, from = string.match(redis.call('HGET', gaps, sid) or '', '^(%d+) (%d+)$')
    gap = gap and number(gap)
  end
  local hadGap = gap ~= nil

  local outbox = {
    key = key,
    counts = counts,
    chains = chains,
    -- Whether nothing of the outbox exists.
    isNew = not stored[1],
    -- Whether the step has to be refused.
    isFull = string.sub(policy, 1, 1) == 'r' and (bytes >= mostInAll or ofSession >= most),
    -- Set to the params of `initialize` before the entry that belongs to them is copied.
    initialize = nil,
  }
  local leavesOut, hasChanged = string.sub(policy, 1, 1) == 'd', false

  local function count(size)
    bytes, ofSession, hasChanged = bytes + size, ofSession + size, true
  end
  local function addGap()
    redis.call('XADD', key, '*', 'u', sid, 'gap', gap, 'from', from)
    count(ENTRY_BYTES)
    gap, from = nil, nil
  end

  -- Adds the copy of an entry of the session's log. `...` are its fields and values.
  function outbox.copy(id, message, ...)
    local size = ENTRY_BYTES + (message and #message or 0)
    if leavesOut then
      local needed = size + (gap and ENTRY_BYTES or 0)
      if bytes + needed > mostInAll or ofSession + needed > most then
        gap, from, hasChanged = (gap or 0) + 1, from or string.match(id, '^%d+'), true
        return
      end
    end
    if gap then addGap() end
    if outbox.initialize then
      redis.call('XADD', key, '*', 'i', id, 'u', sid, 'init', outbox.initialize, ...)
      outbox.initialize = nil
    else
      redis.call('XADD', key, '*', 'i', id, 'u', sid, ...)
    end
    count(size)
  end

  -- Returns whether the outbox has anything of the session: entries, a gap or a chain.
  function outbox.hasSession()
    return ofSession > 0 or gap ~= nil or redis.call('HEXISTS', chains, sid) == 1
  end

  -- Adds the entry which says that the session has ended. It is stored even if the outbox is full.
  function outbox.finish(reason)
    if gap then addGap() end
    redis.call('HSET', counts, 'e:' .. sid, redis.call('XADD', key, '*', 'u', sid, 'end', reason))
    count(ENTRY_BYTES)
  end

  -- Stores the counts. A step calls this after its last entry.
  function outbox.close()
    if not hasChanged then return end
    if gap or hadGap then
      if gap then redis.call('HSET', gaps, sid, gap .. ' ' .. from) else redis.call('HDEL', gaps, sid) end
      sessionsWithGaps = math.max(0, sessionsWithGaps + (gap and 1 or 0) - (hadGap and 1 or 0))
      redis.call('HSET', counts, 'b', bytes, 'b:' .. sid, ofSession, 'g', sessionsWithGaps)
      if gap then redis.call('HSET', counts, 'l', most .. ' ' .. mostInAll) end
    else
      redis.call('HSET', counts, 'b', bytes, 'b:' .. sid, ofSession)
    end
    if outbox.isNew then
      redis.call('HSET', chains, '', '')
      redis.call('HSET', gaps, '', '')
      outbox.isNew = false
    end
  end
  return outbox
end
