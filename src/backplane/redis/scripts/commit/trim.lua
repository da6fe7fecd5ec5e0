-- Drops the oldest entries of a log that has grown beyond `most` bytes, but none of this step. `bytes` is the number of
-- bytes that were ever logged; each entry says in `o` how many there were before it, so the log has bytes - o(oldest),
-- whatever else has trimmed it. Returns o(oldest), which `from` was when it was last looked at: it only grows, so as long
-- as even that is no more than `most` ago there is nothing to look for. More than needed goes, so that this is rare.
local begun = bytes
local function trimBytes(from, most)
  if bytes - from <= most then return from end
  local least = bytes - most + math.min(most / 8, 1048576)
  local after, count = '-', 1
  while true do
    local chunk = redis.call('XRANGE', events, after, '(' .. logged, 'COUNT', count)
    for _, item in ipairs(chunk) do
      local offset = item[2][1] == 'o' and tonumber(item[2][2]) or 0
      -- Trimmed by count or age meanwhile, it may not be too long at all.
      if after == '-' and bytes - offset <= most then return offset end
      if offset >= least then
        redis.call('XTRIM', events, 'MINID', item[1])
        return offset
      end
      after = '(' .. item[1]
    end
    if #chunk == 0 then
      redis.call('XTRIM', events, 'MINID', logged)
      return begun
    end
    -- Few at first: each is read with its message.
    count = math.min(count * 2, 64)
  end
end
