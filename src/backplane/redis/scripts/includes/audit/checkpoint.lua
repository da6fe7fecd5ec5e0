-- The checkpoint of an outbox, and the archiver that has claimed it.

-- Returns why an archiver may not go on from a checkpoint, as a word, or nil if it may:
--   lost     another archiver has claimed the outbox
--   changed  the outbox is at another checkpoint
local function refusalOf(counts, archiver, mark)
  local stored = redis.call('HMGET', counts, 'a', 'm')
  if stored[1] ~= archiver then return 'lost' end
  if (stored[2] or '') ~= mark then return 'changed' end
  return nil
end

-- Returns whether the outbox has an entry as an archiver has read it. `id` is its place, `logId` and `sid` what it says of itself. A
-- failover may have lost it, and another entry may have got its place. If the entry is there, so are all before it.
local function hasEntry(outbox, id, logId, sid)
  local found = redis.call('XRANGE', outbox, id, id)[1]
  if not found then return false end
  local its, of = '', ''
  for i = 1, #found[2], 2 do
    if found[2][i] == 'i' then its = found[2][i + 1] end
    if found[2][i] == 'u' then of = found[2][i + 1] end
  end
  return its == logId and of == sid
end

-- Returns how many entries a script may read at a time. One entry may be as large as a page. If little waits, it may read many.
local function chunkOf(counts)
  local MANY, LITTLE_BYTES = 100, 1048576
  local bytes = tonumber(redis.call('HGET', counts, 'b') or '')
  return bytes and bytes <= LITTLE_BYTES and MANY or 1
end
