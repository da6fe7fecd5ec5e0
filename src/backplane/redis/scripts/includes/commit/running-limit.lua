-- How many requests of a session may run at a time.

--- @include "commit/step"
--- @include "stored-values"
--- @include "streams-hash"

-- Returns a list of up to 500 running streams, each followed by its executor, and the number of running requests.
local function running()
  write()
  local all = redis.call('HGETALL', step.streams)
  local list, count = {}, 0
  for i = 1, #all, 2 do
    local kind, name = string.sub(all[i], 1, 2), string.sub(all[i], 3)
    if kind == 'r:' then count = count + 1 end
    if kind == 'x:' and #list < 1000 then
      list[#list + 1] = name
      list[#list + 1] = (executorOf(all[i + 1]))
    end
  end
  return list, count
end

-- Returns the running streams if `more` requests would exceed `most`, else nil. If the counter says that they would, this counts the
-- running requests anew and corrects the counter. That takes longer.
local function tooMany(more, most)
  local count = whole(get('run'))
  if most == '' or count + more <= tonumber(most) then return nil end
  local list, exactly = running()
  set('run', exactly)
  return exactly + more > tonumber(most) and list or nil
end
