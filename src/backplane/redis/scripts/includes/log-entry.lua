-- One entry of a log.

-- How many bytes each entry adds to the size of a log, besides those of its message.
local ENTRY_BYTES = 100

-- Makes a table of an entry's values by their names from the list that XRANGE returns.
local function entry(fields)
  local e = {}
  for i = 1, #fields, 2 do e[fields[i]] = fields[i + 1] end
  return e
end
