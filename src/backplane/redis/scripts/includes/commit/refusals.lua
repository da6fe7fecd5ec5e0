-- Why requests may not begin: their ids are in use, or too many run.

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

-- Returns the result of an operation that may not begin these requests, or nil if it may.
local function refusalOf(requests, most)
  for i = 1, #requests do
    local taken = get('r:' .. requests[i])
    if taken then return { 'duplicate', taken, (executorOf(get('x:' .. taken))) } end
  end
  local others = tooMany(#requests, most)
  return others and { 'limited', unpack(others) } or nil
end

-- Returns the result for a repeat of an operation whose first run refused the requests. If one of their ids is in use now, that counts
-- as the reason. Else it is the limit, if there is one.
local function refusedBefore(requests, most)
  for i = 1, #requests do
    if get('r:' .. requests[i]) then return { 'duplicate', '', '' } end
  end
  return { most == '' and 'duplicate' or 'limited', '', '' }
end
