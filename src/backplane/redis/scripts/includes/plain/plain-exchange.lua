-- Logs a request together with its answer, if there is nothing else to do. `exchange` in commit/exchange.lua does the same.

--- @include "log-entry"
--- @include "plain/plain-step"

do
  local principal, stream, request, known, most, failed, message, answer = unpack(ARGV, 13, 20)
  local node, call = ARGV[1], redis.call
  if #KEYS == 3 and #ARGV == 20 and ARGV[11] == '' and ARGV[12] == 'exchange' and failed == ''
    and string.find(known, '^%d+%.') then
    local record = call('HMGET', KEYS[1], 'rev', 'pr', 'called')
    if record[1] == known and record[2] == principal and record[3] == '1' then
      local stored = call('HMGET', KEYS[2], 't:' .. node, 'bytes', 'run', 'kept', 'trimmed', 'from', 'first', 'r:' .. request, 'reps')
      local replicas = ' ' .. (stored[9] or '') .. ' '
      local logged = not stored[8] and string.find(replicas, ' ' .. node .. ' ', 1, true) and plainBytes(stored, message, answer)
      if logged and (most == '' or (stored[3] or 0) + 1 <= most - 0) then
        local asked = call('XADD', KEYS[3], 'MAXLEN', ARGV[6], '*', 'o', stored[2], 's', stream, 'm', message)
        local between = stored[2] + ENTRY_BYTES + #message
        local answered = call('XADD', KEYS[3], 'MAXLEN', ARGV[6], '*', 'o', between, 's', stream, 'n', '1', 'm', answer, 'e', '1')
        call('HSET', KEYS[2], 't:' .. node, ARGV[2], 'bytes', logged)
        return known .. ' exchanged ' .. asked .. ' ' .. answered
      end
    end
  end
end
