-- Stores the application's own state of a session.
--
-- KEYS: 1 record
-- ARGV: 1 value (JSON), 2 expected version, or '' for any
--
-- Returns 'stored' | 'conflict' | 'gone'. Its version grows with each store. Repeating a store that expects a
-- version (a lost reply) answers 'stored' when the value is the one that is there.
local current = redis.call('HMGET', KEYS[1], 'rev', 'stv', 'st')
if not current[1] then return 'gone' end
local version = tonumber(current[2] or '0')
if ARGV[2] ~= '' and tonumber(ARGV[2]) ~= version then
  if version == tonumber(ARGV[2]) + 1 and current[3] == ARGV[1] then return 'stored' end
  return 'conflict'
end
redis.call('HSET', KEYS[1], 'st', ARGV[1], 'stv', version + 1)
return 'stored'
