-- Opens a stream for one request, if there is nothing else to do. `open` in commit/open.lua does the same.

--- @include "plain/plain-step"

do
  local principal, stream, token, known, owned, most, requests, request, messages, message = unpack(ARGV, 13, 22)
  local node, call = ARGV[1], redis.call
  if #KEYS == 3 and #ARGV == 22 and ARGV[11] == '' and ARGV[12] == 'open' and owned == '' and requests == '1' and messages == '1'
    and string.find(known, '^%d+%.') then
    local record = call('HMGET', KEYS[1], 'rev', 'pr', 'called')
    if record[1] == known and record[2] == principal and record[3] == '1' then
      local stored = call('HMGET', KEYS[2], 't:' .. node, 'bytes', 'run', 'kept', 'trimmed', 'from', 'first', 'r:' .. request, 'reps')
      local replicas = ' ' .. (stored[9] or '') .. ' '
      local logged = not stored[8] and string.find(replicas, ' ' .. node .. ' ', 1, true) and plainBytes(stored, message)
      local running = logged and (stored[3] or 0) + 1
      if running and (most == '' or running <= most - 0) then
        local id = call('XADD', KEYS[3], 'MAXLEN', ARGV[6], '*', 'o', stored[2], 's', stream, 'm', message)
        call('HSET', KEYS[2], 't:' .. node, ARGV[2], 'bytes', logged, 'run', running, 'n:' .. stream, '0:' .. id,
          'h:' .. stream, node .. ':' .. token, 'x:' .. stream, node, 'p:' .. stream, '1', 'r:' .. request, stream)
        return known .. ' opened 0 ' .. id .. ' '
      end
    end
  end
end
