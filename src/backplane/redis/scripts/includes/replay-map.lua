-- The field in the hash of ends that has the log's map, see log-map.lua: no stream has such a name.
local REPLAY_MAP = '\0'
