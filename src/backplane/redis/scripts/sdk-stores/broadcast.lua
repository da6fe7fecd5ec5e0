-- Stores a text for all nodes, and publishes it to those that listen.
--
-- KEYS: 1 log of broadcasts
-- ARGV: 1 channel, 2 node, 3 token of this broadcast, 4 '1': it may have been carried out already, 5 how many are kept,
--       6 for how long (ms), 7 text
--
-- Returns the log id. Each entry names the entry before it, so that a node that reads or hears it knows whether one is missing.

--- @include "log-entry"
--- @include "wake-ups"

local log, channel, node, token, text = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[7]
local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
if ARGV[4] == '1' then
  -- An earlier run whose reply was lost has stored the text among the latest entries.
  for _, item in ipairs(redis.call('XREVRANGE', log, '+', '-', 'COUNT', 100)) do
    if entry(item[2]).k == token then return item[1] end
  end
end
local previous = last and last[1] or ''
local id = redis.call('XADD', log, 'MAXLEN', ARGV[5], '*', 'b', previous, 'f', node, 'k', token, 't', text)
redis.call('PEXPIRE', log, ARGV[6])
local inline = #text <= INLINE_BYTES
local line = '1 ' .. id .. ' ' .. (previous == '' and '-' or previous) .. ' ' .. node .. ' ' .. (inline and '1' or '0')
-- An error of PUBLISH is ignored, since nodes find the text in the log.
redis.pcall('PUBLISH', channel, line .. '\n' .. (inline and text or ''))
return id
