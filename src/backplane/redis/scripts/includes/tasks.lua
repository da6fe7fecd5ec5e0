-- Tasks of the SDK's task store.

local function hasEnded(status) return status == 'completed' or status == 'failed' or status == 'cancelled' end
