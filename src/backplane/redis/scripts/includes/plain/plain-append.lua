-- Logs the answer that ends a stream, if there is nothing else to do. The operation `append` in commit/append.lua does the same.

--- @include "plain/plain-step"

do
  local stream, ends, mark, effect, _, _, condition, _, coalesce, has, message = unpack(ARGV, 13, 23)
  local node, call = ARGV[1], redis.call
  if #KEYS == 3 and #ARGV == 23 and ARGV[11] == '' and ARGV[12] == 'append' and ends ~= '' and mark == '' and effect == ''
    and condition == '' and coalesce == '' and has == '1' and string.sub(stream, 1, #node) == node then
    local revision = call('HGET', KEYS[1], 'rev')
    if revision and #revision <= 600 and string.find(revision, '^%d+%.') then
      local n, h, x, p, b, r = 'n:' .. stream, 'h:' .. stream, 'x:' .. stream, 'p:' .. stream, 'b:' .. stream, 'r:' .. ends
      local stored = call('HMGET', KEYS[2], 't:' .. node, 'bytes', 'run', 'kept', 'trimmed', 'from', 'first', x, p, r, b, n, h)
      local holder = stored[13]
      -- The stream is this node's in all respects, and no other request of it runs.
      local isPlain = stored[8] == node and stored[9] == '1' and stored[10] == stream and not stored[11] and holder
        and string.sub(holder, 1, #node + 1) == node .. ':'
      local logged = isPlain and plainBytes(stored, message)
      local last, ms, counter = string.match(logged and stored[12] or '', '^(%d+):(%d+)%-(%d+)$')
      if last and #last <= 15 and #ms <= 15 and #counter <= 19 then
        -- A full Redis refuses only the first write of a script, and no removal. So it stores the answer even then.
        call('HDEL', KEYS[2], n, h, x, p, b, r, 'a:' .. stream, 'd:' .. stream, 'o:' .. stream)
        local id = call('XADD', KEYS[3], 'MAXLEN', ARGV[6], '*', 'o', stored[2], 's', stream, 'n', last + 1, 'm', message, 'e', '1')
        call('HSET', KEYS[2], 't:' .. node, ARGV[2], 'bytes', logged, 'run', (stored[3] or 0) - 1)
        local previous = last == '0' and '' or ms .. '-' .. counter
        return revision .. ' appended ' .. last + 1 .. ' ' .. id .. ' ' .. string.sub(holder, #node + 2) .. ' 1 ' .. previous
      end
    end
  end
end
