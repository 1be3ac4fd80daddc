"""The jobs' Lua scripts: each is one atomic step. Time is the server's, in microseconds.

A record is a hash. `slot` holds the name of the set of outstanding jobs of its modality and model: the one truth about
demand. Queues are sorted by the time from which a job may run, leases by the time at which they run out. Records of all
tenants are touched by one script, so this needs one Redis with its replicas, not a Redis Cluster.
"""

from typing import Final

NOW: Final = """
local function text(number) return string.format('%.0f', number) end
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
"""

# End a job: nothing is outstanding any more, nobody holds it.
END: Final = """
local function finish(record, leased, queued, status, field, value)
  redis.call('ZREM', leased, record)
  redis.call('ZREM', queued, record)
  redis.call('SREM', redis.call('HGET', record, 'slot'), record)
  redis.call('HSET', record, 'status', status, 'phase', status, 'ended', text(now))
  if field then redis.call('HSET', record, field, value) end
end
local function ring(bell)
  redis.call('LPUSH', bell, '1')
  redis.call('LTRIM', bell, 0, 63)
end
"""

HELD: Final = """
local function held(record, fence)
  return redis.call('HGET', record, 'status') == 'running' and redis.call('HGET', record, 'fence') == fence
end
"""

# KEYS record index queued slot slots bell; ARGV id spec kind max_attempts. Said again after a lost answer it is the
# same job.
ENQUEUE: Final = (
    NOW
    + END
    + """
local there = redis.call('HGET', KEYS[1], 'spec')
if there == ARGV[2] then return redis.call('HGETALL', KEYS[1]) end
if there then return false end
redis.call('HSET', KEYS[1], 'spec', ARGV[2], 'status', 'queued', 'phase', 'queued', 'progress', '0', 'attempts', 0,
  'max_attempts', ARGV[4], 'fence', 0, 'created', text(now), 'slot', KEYS[4])
redis.call('ZADD', KEYS[2], text(now), ARGV[1])
redis.call('ZADD', KEYS[3], text(now), KEYS[1])
redis.call('SADD', KEYS[4], KEYS[1])
redis.call('HSET', KEYS[5], ARGV[3], KEYS[4])
ring(KEYS[6])
return redis.call('HGETALL', KEYS[1])
"""
)

# KEYS queued leased; ARGV lease worker error
LEASE: Final = (
    NOW
    + END
    + """
for _, record in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', text(now), 'LIMIT', 0, 64)) do
  local count = redis.call('HMGET', record, 'attempts', 'max_attempts', 'created')
  if tonumber(count[1]) >= tonumber(count[2]) then
    finish(record, KEYS[2], KEYS[1], 'failed', 'error', ARGV[3])
  else
    redis.call('ZREM', KEYS[2], record)
    redis.call('HSET', record, 'status', 'queued', 'phase', 'queued')
    redis.call('ZADD', KEYS[1], count[3], record)
  end
end
local record = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 1)[1]
if not record then return false end
redis.call('ZREM', KEYS[1], record)
redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[1])), record)
redis.call('HINCRBY', record, 'attempts', 1)
redis.call('HINCRBY', record, 'fence', 1)
redis.call('HSET', record, 'status', 'running', 'phase', 'starting', 'progress', '0', 'worker', ARGV[2],
  'started', text(now))
return redis.call('HGETALL', record)
"""
)

# KEYS record leased; ARGV fence lease progress phase
HEARTBEAT: Final = (
    NOW
    + HELD
    + """
if not held(KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], text(now + tonumber(ARGV[2])), KEYS[1])
redis.call('HSET', KEYS[1], 'progress', ARGV[3], 'phase', ARGV[4])
return 1
"""
)

# KEYS record leased queued; ARGV fence result. Said again after a lost answer it is the same publication.
COMPLETE: Final = (
    NOW
    + END
    + HELD
    + """
if not held(KEYS[1], ARGV[1]) then
  local said = redis.call('HMGET', KEYS[1], 'status', 'fence')
  return (said[1] == 'completed' and said[2] == ARGV[1]) and 1 or 0
end
redis.call('HSET', KEYS[1], 'progress', '1')
finish(KEYS[1], KEYS[2], KEYS[3], 'completed', 'result', ARGV[2])
return 1
"""
)

# KEYS record leased queued bell; ARGV fence error delay (empty: for good)
FAIL: Final = (
    NOW
    + END
    + HELD
    + """
if not held(KEYS[1], ARGV[1]) then
  local said = redis.call('HMGET', KEYS[1], 'status', 'fence')
  return (said[1] == 'failed' and said[2] == ARGV[1]) and 1 or 0
end
local count = redis.call('HMGET', KEYS[1], 'attempts', 'max_attempts')
if ARGV[3] == '' or tonumber(count[1]) >= tonumber(count[2]) then
  finish(KEYS[1], KEYS[2], KEYS[3], 'failed', 'error', ARGV[2])
else
  redis.call('ZREM', KEYS[2], KEYS[1])
  redis.call('HSET', KEYS[1], 'status', 'queued', 'phase', 'queued', 'progress', '0')
  redis.call('ZADD', KEYS[3], text(now + tonumber(ARGV[3])), KEYS[1])
  ring(KEYS[4])
end
return 1
"""
)

# KEYS record leased queued bell; ARGV fence phase delay (empty: keep the place)
HAND_BACK: Final = (
    NOW
    + END
    + HELD
    + """
if not held(KEYS[1], ARGV[1]) then return 0 end
redis.call('ZREM', KEYS[2], KEYS[1])
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
redis.call('HSET', KEYS[1], 'status', 'queued', 'phase', ARGV[2], 'progress', '0')
local from = redis.call('HGET', KEYS[1], 'created')
if ARGV[3] ~= '' then from = text(now + tonumber(ARGV[3])) end
redis.call('ZADD', KEYS[3], from, KEYS[1])
ring(KEYS[4])
return 1
"""
)

# KEYS record leased queued
CANCEL: Final = (
    NOW
    + END
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'queued' or status == 'running' then finish(KEYS[1], KEYS[2], KEYS[3], 'cancelled') end
return redis.call('HGETALL', KEYS[1])
"""
)

# KEYS record leased queued index; ARGV id
DELETE: Final = (
    NOW
    + END
    + """
local was = redis.call('HGETALL', KEYS[1])
if #was > 0 then finish(KEYS[1], KEYS[2], KEYS[3], 'cancelled') end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return was
"""
)
