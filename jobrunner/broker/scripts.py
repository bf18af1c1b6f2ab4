"""What the queue has Redis do in one go, in Lua: each would else be a round trip or more a job."""

# A job is on its way while its wake is here and its entry is not: the wake of one that comes alone is sent first.
_ON_ITS_WAY = """
local function over(id) return redis.call('EXISTS', 'arq:result:' .. id) == 1 end
local function on_its_way(id) return id ~= '' and not redis.call('ZSCORE', KEYS[1], id) and not over(id) end
"""

# 'new' leaves the score of a known id alone, since a late push must not undo a claim's hold, and enters none that was
# taken by its wake and has ended. 'again' overrides both, and takes back what arq's tools would read as "in progress"
# or "complete". A wake names a job that is due already: who is woken need not ask for it.
PUSH = f"""{_ON_ITS_WAY}
local due = ''
for i = 6, #ARGV, 3 do
  local id = ARGV[i]
  if tonumber(ARGV[i + 1]) <= tonumber(ARGV[3]) then due = id end
  if ARGV[1] == 'again' then
    redis.call('DEL', 'arq:in-progress:' .. id, 'arq:result:' .. id)
    redis.call('ZREM', KEYS[1], id)
  end
  if not over(id) then
    redis.call('ZADD', KEYS[1], 'NX', ARGV[i + 1], id)
    redis.call('SET', 'arq:job:' .. id, ARGV[i + 2], 'PX', ARGV[2] + math.max(0, ARGV[i + 1] - ARGV[3]))
  end
end
if ARGV[5] == 'wake' then redis.call('LPUSH', KEYS[2], due) end
redis.call('LTRIM', KEYS[2], 0, ARGV[4] - 1)
"""

# Takes the due ids and moves each to where its hard timeout ends, so that it never sits at the queue's head again; so
# too the one that the claimer has taken by its wake (ARGV[3]), which may not have been entered yet.
# What is due is told by Redis' clock: a worker's own may be wrong, and would find nothing, or find it too early.
# A claim that finds nothing writes all the same, first: a Redis that is full, or a replica, takes no pushes either, and
# its "nothing is due" must not be believed. It takes away the wakes that nobody waited for, since whoever goes to sleep
# has looked first: what they told of is gone, or else on its way, and taken.
# A payload that is none of ours, or no string at all, holds for the longest time: Postgres will say what the id is.
CLAIM = f"""{_ON_ITS_WAY}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, holds, ahead = tonumber(ARGV[1]), cjson.decode(ARGV[2]), ARGV[3]
local function hold(id)
  local lasting = holds['']
  local payload = redis.pcall('GET', 'arq:job:' .. id)
  if type(payload) == 'string' then
    local ok, job = pcall(cjson.decode, payload)
    if ok and type(job) == 'table' and type(job.f) == 'string' then lasting = holds[job.f] or lasting end
  end
  redis.call('ZADD', KEYS[1], now + lasting, id)
  redis.call('SET', 'arq:in-progress:' .. id, '1', 'PX', lasting)
end
if ahead ~= '' then
  local score = redis.call('ZSCORE', KEYS[1], ahead)
  if score and tonumber(score) <= now or on_its_way(ahead) then hold(ahead) end
end
local first = redis.call('ZRANGE', KEYS[1], 0, limit, 'WITHSCORES')
local due, wait = {{}}, false
for i = 1, #first, 2 do
  wait = first[i + 1] - now
  if wait > 0 or #due == limit then break end
  wait = false
  due[#due + 1] = first[i]
  hold(first[i])
end
if #due == 0 then redis.call('SET', KEYS[3], now, 'PX', 60000) end
while #due == 0 do
  local id = redis.call('LPOP', KEYS[2])
  if not id then break end
  if on_its_way(id) then
    due[1] = id
    hold(id)
  end
end
if wait and wait <= 0 and redis.call('LLEN', KEYS[2]) == 0 then redis.call('LPUSH', KEYS[2], '') end
return {{due, wait and string.format('%.0f', wait) or false}}
"""

# A script, since packing some commands for each job would cost Python more than all else that it does at a job's end.
FORGET = """
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if ARGV[i + 1] ~= '' then redis.call('SET', 'arq:result:' .. id, ARGV[i + 1], 'PX', ARGV[1]) end
  redis.call('ZREM', KEYS[1], id)
  redis.call('DEL', 'arq:job:' .. id, 'arq:in-progress:' .. id, 'arq:retry:' .. id)
end
"""
