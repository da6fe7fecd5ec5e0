-- The field of the hash of stream ends that holds the map of the log (see log-map.lua). No stream has such a name.
local REPLAY_MAP = '\0'
