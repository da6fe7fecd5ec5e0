-- Stores the application's own state of a session.
--
-- KEYS: 1 record
-- ARGV: 1 value (JSON), 2 '=' and the expected version, or '' for any version, 3 node, 4 mark of this store, 5 the number of this
--       store among those of the node, 6 how long after a store a repeat of it may come (ms)
--
-- Returns 'stored' | 'conflict' | 'gone'. The version of a state names the store that made it, so no version comes twice, not even
-- after a failover. A repeat has the same number, because the first reply was lost. It changes nothing and answers 'stored'. A node
-- sends its stores in a session one after another, so its last number tells a repeat. The value cannot tell it: two nodes that
-- count up from 5 both store 6.
--
-- The field `stt` has "<node>:<number>:<ms by the clock of Redis>" of the last store of each node, separated by spaces. The script
-- drops the entry of another node when no repeat of its store can come any more.

--- @include "clock"
--- @include "stored-values"

local current = redis.call('HMGET', KEYS[1], 'rev', 'stv', 'stt')
if not current[1] then return 'gone' end
local now = timeNow()
local last = { ARGV[3] .. ':' .. ARGV[5] .. ':' .. now }
for node, number, ms in string.gmatch(current[3] or '', '([^%s:]+):(%d+):(%d+)') do
  if node == ARGV[3] then
    if tonumber(number) >= tonumber(ARGV[5]) then return 'stored' end
  elseif tonumber(now) - tonumber(ms) < tonumber(ARGV[6]) then
    last[#last + 1] = node .. ':' .. number .. ':' .. ms
  end
end
if ARGV[2] ~= '' and ARGV[2] ~= '=' .. (current[2] or '') then return 'conflict' end
local count = string.match(current[2] or '0', '^%d+')
if not count then malformed() end
local version = string.format('%.0f', count + 1) .. '.' .. ARGV[3] .. ':' .. ARGV[4]
redis.call('HSET', KEYS[1], 'st', ARGV[1], 'stv', version, 'stt', table.concat(last, ' '))
return 'stored'
