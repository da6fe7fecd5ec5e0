-- Tasks.

local function hasEnded(status) return status == 'completed' or status == 'failed' or status == 'cancelled' end
