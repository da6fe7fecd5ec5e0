-- How long the keys of a session live.

--- @include "session-keys"

-- Returns the least time between two steps that prolong the life of the keys, or trim the log by age. It is SLACK_MS, or a 64th of a
-- short time to live. Keys live longer by this time, so that none expires too soon.
local function slackOf(ms)
  local SLACK_MS = 1000
  return math.min(SLACK_MS, math.floor(ms / 64))
end
local function expireIn(key, ms) redis.call('PEXPIRE', key, ms + slackOf(ms)) end
local function expireLog(events, ms) onLog('PEXPIRE', events, ms + slackOf(ms)) end
