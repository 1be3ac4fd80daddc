"""The jobs' Lua scripts: each is one atomic step. Time is the server's, in microseconds.

A record is a hash, with its log of events and its list of attempts beside it. Of each modality there are, under `base`:

- `lane:TENANT`: a tenant's jobs that may run, by priority, then by when they came (`rank`);
- `running:TENANT`: those of its jobs that are leased;
- `turns`: tenants that have a lane, the one whose turn it is first; `served`: when each had its last turn, as a number
  that `count` gave out;
- `queued`: jobs that wait for a time, by that time; `leased`: leases by the time at which they run out;
- `expiring`: jobs that wait and must begin by a time;
- `ended`: jobs that ended, by when; `took` and `took:MODEL`: how long the last ones took;
- `bell`: what waiting workers block on; `asked:TICKET`: what a worker was given, should it not have heard the answer.

The log of a job that ended keeps its last events. A record's `slot` names the set of outstanding jobs of its modality
and model: the one truth about demand. One script touches keys of many tenants, so this needs one Redis with its
replicas, not a Redis Cluster.
"""

from typing import Final

from chattr.ports.jobs import ATTEMPTS_KEPT, DURATIONS_KEPT

# Every script is given KEYS[1], a record or what stands for one, and KEYS[2], the base of its modality.
STEPS: Final = f"""
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local base = KEYS[2]
local queued, leased, turns = base .. ':queued', base .. ':leased', base .. ':turns'
local expiring = base .. ':expiring'

local function text(number) return string.format('%.0f', number) end
local function lane(tenant) return base .. ':lane:' .. tenant end
local function running(tenant) return base .. ':running:' .. tenant end

local function ring()
  redis.call('LPUSH', base .. ':bell', '1')
  redis.call('LTRIM', base .. ':bell', 0, 63)
end

local function tell(record, status)
  local is = redis.call('HMGET', record, 'phase', 'progress', 'attempts', 'error')
  redis.call('XADD', record .. ':events', 'MAXLEN', '~', 256, '*', 'status', status, 'phase', is[1],
    'progress', is[2], 'attempts', is[3], 'error', is[4] or '')
end

-- Put a tenant where it belongs among those with work: few running first, then who has waited longest.
local function seat(tenant)
  if redis.call('EXISTS', lane(tenant)) == 1 then
    local served = redis.call('HGET', base .. ':served', tenant) or '0'
    redis.call('ZADD', turns, text(redis.call('SCARD', running(tenant)) * 2^40 + tonumber(served)), tenant)
  else
    redis.call('ZREM', turns, tenant)
    if redis.call('EXISTS', running(tenant)) == 0 then redis.call('HDEL', base .. ':served', tenant) end
  end
end

-- Take a record out of wherever it stands.
local function lift(record, tenant)
  redis.call('ZREM', queued, record)
  redis.call('ZREM', leased, record)
  redis.call('ZREM', expiring, record)
  redis.call('ZREM', lane(tenant), record)
  redis.call('SREM', running(tenant), record)
  redis.call('HDEL', record, 'ready')
end

-- Let a record run from some time on; without one at once, at its old place.
local function line_up(record, tenant, phase, from)
  lift(record, tenant)
  redis.call('HSET', record, 'status', 'queued', 'phase', phase, 'progress', '0')
  local expires = redis.call('HGET', record, 'expires')
  if expires then redis.call('ZADD', expiring, expires, record) end
  if from then
    redis.call('ZADD', queued, text(from), record)
    redis.call('HSET', record, 'ready', text(from))
  else
    redis.call('ZADD', lane(tenant), redis.call('HGET', record, 'rank'), record)
    ring()
  end
  seat(tenant)
  tell(record, 'queued')
end

-- It has begun: it is to be finished however late it is, and nobody waits for its predictor any more.
local function begun(record) redis.call('HDEL', record, 'expires', 'waiting') end

-- Take a job off a list. Its place is remembered for some seconds, so that who turns the pages goes on there.
local function unlist(list, id, seconds)
  local place = redis.call('ZSCORE', list, id)
  if place then redis.call('SET', list .. ':gone:' .. id, place, 'EX', seconds) end
  redis.call('ZREM', list, id)
end

local function note(record, outcome, problem)
  local is = redis.call('HMGET', record, 'fence', 'worker', 'started')
  redis.call('RPUSH', record .. ':attempts', cjson.encode(
    {{fence = is[1], worker = is[2], started = is[3], ended = text(now), outcome = outcome, error = problem or ''}}))
  redis.call('LTRIM', record .. ':attempts', -{ATTEMPTS_KEPT}, -1)
end

-- End a job: nothing is outstanding any more, nobody holds it.
local function finish(record, tenant, status, field, value)
  lift(record, tenant)
  local is = redis.call('HMGET', record, 'slot', 'index', 'id')
  redis.call('SREM', is[1], record)
  redis.call('HSET', record, 'status', status, 'phase', status, 'ended', text(now))
  if field then redis.call('HSET', record, field, value) end
  redis.call('ZADD', base .. ':ended', text(now), record)
  if status == 'failed' then redis.call('ZADD', is[2] .. ':failed', text(now), is[3]) end
  seat(tenant)
  if redis.call('EXISTS', turns) == 1 then ring() end
  tell(record, status)
  redis.call('XTRIM', record .. ':events', 'MAXLEN', 16)
end

local function held(record, fence)
  return redis.call('HGET', record, 'status') == 'running' and redis.call('HGET', record, 'fence') == fence
end

-- Whether a lost answer's command is said again: it has come to that already.
local function said(record, fence, status)
  local is = redis.call('HMGET', record, 'status', 'fence')
  return (is[1] == status and is[2] == fence) and 1 or 0
end

local function took(list, value)
  redis.call('LPUSH', list, string.format('%.6f', value))
  redis.call('LTRIM', list, 0, {DURATIONS_KEPT - 1})
end

-- Records of versions before jobs took turns lack what that needs.
local function mend(record)
  local spec = redis.call('HGET', record, 'spec')
  if not spec or redis.call('HEXISTS', record, 'tenant') == 1 then return end
  local is = cjson.decode(spec)
  redis.call('HSET', record, 'id', is.id, 'tenant', is.tenant, 'model', is.model, 'weight', '1', 'class', '1',
    'index', string.match(record, '^(.*):job:') .. ':jobs:' .. is.modality,
    'rank', text(2^50 + redis.call('INCR', base .. ':count')))
end
mend(KEYS[1])
"""

# KEYS record base index slot slots token (or the record again);
# ARGV id spec kind tenant class max_attempts weight model expires_in fingerprint token_seconds
# Said again after a lost answer it is the same job. Two to the 50th: room for as many jobs of each priority.
ENQUEUE: Final = (
    STEPS
    + """
if ARGV[10] ~= '' then
  local known = redis.call('HMGET', KEYS[6], 'record', 'fingerprint')
  if known[1] and redis.call('EXISTS', known[1]) == 1 then
    if known[2] ~= ARGV[10] then return 'other' end
    return redis.call('HGETALL', known[1])
  end
end
local there = redis.call('HGET', KEYS[1], 'spec')
if there == ARGV[2] then return redis.call('HGETALL', KEYS[1]) end
if there then return 'taken' end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'spec', ARGV[2], 'status', 'queued', 'phase', 'queued', 'progress', '0',
  'attempts', 0, 'max_attempts', ARGV[6], 'fence', 0, 'created', text(now), 'slot', KEYS[4], 'index', KEYS[3],
  'tenant', ARGV[4], 'weight', ARGV[7], 'model', ARGV[8], 'class', ARGV[5],
  'rank', text(tonumber(ARGV[5]) * 2^50 + redis.call('INCR', base .. ':count')))
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'expires', text(now + tonumber(ARGV[9]))) end
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[6], 'record', KEYS[1], 'fingerprint', ARGV[10])
  redis.call('PEXPIRE', KEYS[6], ARGV[11])
end
redis.call('ZADD', KEYS[3], text(now), ARGV[1])
redis.call('SADD', KEYS[4], KEYS[1])
redis.call('HSET', KEYS[5], ARGV[3], KEYS[4])
line_up(KEYS[1], ARGV[4], 'queued')
return redis.call('HGETALL', KEYS[1])
"""
)

# What no worker says, time does: leases run out, waits are over, jobs expire. Replicas of versions that know nothing of
# `expiring` take nothing out of it, whatever becomes of a job: the record says whether it still may expire.
SWEEPING: Final = (
    STEPS
    + """
local function due(set) return redis.call('ZRANGEBYSCORE', set, '-inf', text(now), 'LIMIT', 0, 64) end

local function sweep(lost, expired)
  for _, record in ipairs(due(leased)) do
    mend(record)
    local is = redis.call('HMGET', record, 'attempts', 'max_attempts', 'tenant')
    note(record, 'worker_lost', lost)
    if tonumber(is[1]) >= tonumber(is[2]) then
      finish(record, is[3], 'failed', 'error', lost)
    else
      begun(record)
      line_up(record, is[3], 'queued')
    end
  end
  for _, record in ipairs(due(expiring)) do
    local is = redis.call('HMGET', record, 'status', 'expires', 'tenant')
    if is[1] == 'queued' and is[2] then
      finish(record, is[3], 'failed', 'error', expired)
    else
      redis.call('ZREM', expiring, record)
    end
  end
  for _, record in ipairs(due(queued)) do
    mend(record)
    local is = redis.call('HMGET', record, 'tenant', 'phase')
    line_up(record, is[1], is[2])
  end
end
"""
)

# KEYS base base; ARGV lost expired
SWEEP: Final = SWEEPING + "sweep(ARGV[1], ARGV[2])"

# KEYS base base; ARGV lease worker most_a_tenant (0: any number) lost expired ticket
# Asked again with a ticket whose answer was lost, it gives the same lease. `expires` is looked at here for jobs of
# versions that did not sweep them.
LEASE: Final = (
    SWEEPING
    + """
local asked = base .. ':asked:' .. ARGV[6]
local given = redis.call('HMGET', asked, 'record', 'fence')
if given[1] and held(given[1], given[2]) then
  redis.call('ZADD', leased, text(now + tonumber(ARGV[1])), given[1])
  redis.call('PEXPIRE', asked, math.ceil(tonumber(ARGV[1]) / 1000))
  return redis.call('HGETALL', given[1])
end
sweep(ARGV[4], ARGV[5])
for _ = 1, 64 do
  local tenant = redis.call('ZRANGE', turns, 0, 0)[1]
  if not tenant then return false end
  local most = tonumber(ARGV[3])
  if most > 0 and redis.call('SCARD', running(tenant)) >= most then return false end
  local record = redis.call('ZRANGE', lane(tenant), 0, 0)[1]
  local expires = redis.call('HGET', record, 'expires')
  if expires and tonumber(expires) <= now then
    finish(record, tenant, 'failed', 'error', ARGV[5])
  else
    redis.call('ZREM', lane(tenant), record)
    redis.call('ZREM', expiring, record)
    redis.call('ZADD', leased, text(now + tonumber(ARGV[1])), record)
    redis.call('SADD', running(tenant), record)
    redis.call('HSET', base .. ':served', tenant, redis.call('INCR', base .. ':count'))
    seat(tenant)
    redis.call('HINCRBY', record, 'attempts', 1)
    redis.call('HSET', asked, 'record', record, 'fence', redis.call('HINCRBY', record, 'fence', 1))
    redis.call('PEXPIRE', asked, math.ceil(tonumber(ARGV[1]) / 1000))
    redis.call('HSET', record, 'status', 'running', 'phase', 'starting', 'progress', '0', 'worker', ARGV[2],
      'started', text(now))
    tell(record, 'running')
    return redis.call('HGETALL', record)
  end
end
return false
"""
)

# KEYS record base; ARGV fence lease progress phase
HEARTBEAT: Final = (
    STEPS
    + """
if not held(KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', leased, text(now + tonumber(ARGV[2])), KEYS[1])
local was = redis.call('HMGET', KEYS[1], 'progress', 'phase')
if was[1] ~= ARGV[3] or was[2] ~= ARGV[4] then
  redis.call('HSET', KEYS[1], 'progress', ARGV[3], 'phase', ARGV[4])
  tell(KEYS[1], 'running')
end
return 1
"""
)

# KEYS record base; ARGV fence result
COMPLETE: Final = (
    STEPS
    + """
if not held(KEYS[1], ARGV[1]) then return said(KEYS[1], ARGV[1], 'completed') end
local is = redis.call('HMGET', KEYS[1], 'tenant', 'started', 'weight', 'model')
local seconds = (now - tonumber(is[2])) / 1000000
took(base .. ':took', seconds)
took(base .. ':took:' .. is[4], seconds / tonumber(is[3]))
note(KEYS[1], 'completed')
redis.call('HSET', KEYS[1], 'progress', '1')
finish(KEYS[1], is[1], 'completed', 'result', ARGV[2])
return 1
"""
)

# KEYS record base; ARGV fence error delay (empty: for good)
FAIL: Final = (
    STEPS
    + """
if not held(KEYS[1], ARGV[1]) then return said(KEYS[1], ARGV[1], 'failed') end
local is = redis.call('HMGET', KEYS[1], 'attempts', 'max_attempts', 'tenant')
note(KEYS[1], 'failed', ARGV[2])
if ARGV[3] == '' or tonumber(is[1]) >= tonumber(is[2]) then
  finish(KEYS[1], is[3], 'failed', 'error', ARGV[2])
else
  begun(KEYS[1])
  line_up(KEYS[1], is[3], 'queued', now + tonumber(ARGV[3]))
end
return 1
"""
)

# KEYS record base; ARGV fence phase delay (empty: keep the place) unheard (1: nobody learnt of the lease)
HAND_BACK: Final = (
    STEPS
    + """
if not held(KEYS[1], ARGV[1]) then return 0 end
note(KEYS[1], 'handed_back')
redis.call('HINCRBY', KEYS[1], 'attempts', -1)
local tenant = redis.call('HGET', KEYS[1], 'tenant')
if ARGV[4] ~= '1' then
  if ARGV[3] == '' then begun(KEYS[1]) else redis.call('HSETNX', KEYS[1], 'waiting', text(now)) end
end
line_up(KEYS[1], tenant, ARGV[2], ARGV[3] ~= '' and now + tonumber(ARGV[3]) or nil)
return 1
"""
)

# KEYS record base
CANCEL: Final = (
    STEPS
    + """
local is = redis.call('HMGET', KEYS[1], 'status', 'tenant')
if is[1] == 'running' then note(KEYS[1], 'cancelled') end
if is[1] == 'queued' or is[1] == 'running' then finish(KEYS[1], is[2], 'cancelled') end
return redis.call('HGETALL', KEYS[1])
"""
)

# KEYS record base; ARGV seconds, for which its place among what failed is remembered
RETRY: Final = (
    STEPS
    + """
local is = redis.call('HMGET', KEYS[1], 'status', 'tenant', 'class', 'slot', 'index', 'id')
if not is[1] then return false end
if is[1] ~= 'failed' and is[1] ~= 'cancelled' then return is[1] end
redis.call('ZREM', base .. ':ended', KEYS[1])
unlist(is[5] .. ':failed', is[6], ARGV[1])
redis.call('SADD', is[4], KEYS[1])
redis.call('HDEL', KEYS[1], 'error', 'ended', 'expires', 'waiting')
redis.call('HSET', KEYS[1], 'attempts', 0,
  'rank', text(tonumber(is[3]) * 2^50 + redis.call('INCR', base .. ':count')))
line_up(KEYS[1], is[2], 'queued')
return redis.call('HGETALL', KEYS[1])
"""
)

# KEYS record base index; ARGV id seconds only_ended (0 or 1). Its events, and its places in the lists, stay that
# long, so that those who follow it learn of it.
DELETE: Final = (
    STEPS
    + """
local was = redis.call('HGETALL', KEYS[1])
if #was == 0 then return was end
local is = redis.call('HMGET', KEYS[1], 'tenant', 'slot', 'status')
if ARGV[3] == '1' and (is[3] == 'queued' or is[3] == 'running') then return {} end
lift(KEYS[1], is[1])
seat(is[1])
redis.call('SREM', is[2], KEYS[1])
redis.call('ZREM', base .. ':ended', KEYS[1])
for _, list in ipairs({KEYS[3], KEYS[3] .. ':failed'}) do unlist(list, ARGV[1], ARGV[2]) end
tell(KEYS[1], 'deleted')
redis.call('EXPIRE', KEYS[1] .. ':events', ARGV[2])
redis.call('DEL', KEYS[1], KEYS[1] .. ':attempts')
return was
"""
)

# KEYS record base. Tenants take turns, so before a job that is the nth of its tenant go as many of each other's.
OUTLOOK: Final = (
    STEPS
    + """
local is = redis.call('HMGET', KEYS[1], 'tenant', 'model')
if not is[1] then return false end
local ahead = redis.call('ZRANK', lane(is[1]), KEYS[1])
if ahead then
  local own, mine = tonumber(redis.call('ZSCORE', turns, is[1])), ahead
  local seats = redis.call('ZRANGE', turns, 0, 999, 'WITHSCORES')
  for at = 1, #seats, 2 do
    if seats[at] ~= is[1] then
      local rounds = mine + (tonumber(seats[at + 1]) < own and 1 or 0)
      ahead = ahead + math.min(redis.call('ZCARD', lane(seats[at])), rounds)
    end
  end
end
return {text(now), ahead or -1, redis.call('ZCARD', leased), redis.call('LRANGE', base .. ':took:' .. is[2], 0, -1),
  redis.call('LRANGE', base .. ':took', 0, -1)}
"""
)
