-- How long keys live.

--- @include "session-keys"

-- A session's time does not begin anew with each step, nor is the log trimmed with each, but once in so many ms (of short
-- times, a 64th). So that nothing goes too soon it all lives for as much longer.
local SLACK_MS = 1000
local function slackOf(ms) return math.min(SLACK_MS, math.floor(ms / 64)) end
local function expireIn(key, ms) redis.call('PEXPIRE', key, ms + slackOf(ms)) end
local function expireLog(events, ms) onLog('PEXPIRE', events, ms + slackOf(ms)) end
