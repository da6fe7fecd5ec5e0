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
-- failover may have lost it, and another entry may have got its place. If the entry is there, so are all before it. Without `sid`, any
-- entry will do: no script has written the one that the archiver has read.
local function hasEntry(outbox, id, logId, sid)
  local found = redis.call('XRANGE', outbox, id, id)[1]
  if not found or sid == '' then return found ~= nil end
  local its, of = nil, nil
  for i = 1, #found[2], 2 do
    if found[2][i] == 'i' then its = its or found[2][i + 1] end
    if found[2][i] == 'u' then of = of or found[2][i + 1] end
  end
  return (its or '') == logId and of == sid
end
