-- Stores the application's own state of a session.
--
-- KEYS: 1 record
-- ARGV: 1 value (JSON), 2 '=' and the expected version, or '' for any, 3 node, 4 token of this store
--
-- Returns 'stored' | 'conflict' | 'gone'. Its version names the store that
-- made it, so none comes twice, also after a failover. A repeat (same token, because a reply was
-- lost) changes nothing and answers 'stored', also when the node has stored something else since. The value can't
-- tell a repeat: two nodes that count from 5 both store 6.
local TOKENS = 8
local current = redis.call('HMGET', KEYS[1], 'rev', 'stv', 'stt:' .. ARGV[3])
if not current[1] then return 'gone' end
local tokens = { ARGV[4] }
for token in string.gmatch(current[3] or '', '%S+') do
  if token == ARGV[4] then return 'stored' end
  if #tokens < TOKENS then tokens[#tokens + 1] = token end
end
if ARGV[2] ~= '' and ARGV[2] ~= '=' .. (current[2] or '') then return 'conflict' end
local count = string.match(current[2] or '0', '^%d+')
if not count then error('MALFORMED') end
local version = string.format('%.0f', count + 1) .. '.' .. ARGV[3] .. ':' .. ARGV[4]
redis.call('HSET', KEYS[1], 'st', ARGV[1], 'stv', version, 'stt:' .. ARGV[3], table.concat(tokens, ' '))
return 'stored'
