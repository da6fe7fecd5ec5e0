-- Sends a message to a node.
--
-- KEYS: 1 the node's lease
-- ARGV: 1 channel, 2 message
--
-- Returns 1. The key says to which master of a cluster this goes: a plain PUBLISH goes to any, and messages that were sent one
-- after the other by way of two masters may arrive in either order.

redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
