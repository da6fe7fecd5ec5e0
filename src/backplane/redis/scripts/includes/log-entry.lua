-- One entry of a log.

-- What an entry counts for beside its message, about.
local ENTRY_BYTES = 100

-- The fields of an entry, as XRANGE lists them -> a table of their values by name.
local function entry(fields)
  local e = {}
  for i = 1, #fields, 2 do e[fields[i]] = fields[i + 1] end
  return e
end
