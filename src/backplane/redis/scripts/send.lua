-- Sends a message to a node.
--
-- KEYS: 1 the node's lease
-- ARGV: 1 channel, 2 message
--
-- Returns 1. In a cluster the key decides which master publishes the message. A plain PUBLISH may go to any master, and two messages
-- that go by way of two masters may arrive in either order.

redis.call('PUBLISH', ARGV[1], ARGV[2])
return 1
