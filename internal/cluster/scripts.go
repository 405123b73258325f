package cluster

import "github.com/redis/go-redis/v9"

// A room is one sorted set, so that a script changes it atomically and it expires as a whole. It has three kinds of members,
// which differ in their first letter and in the range of their scores:
//
//	c<member>  score 1, 2, …        the number of the member's live entries
//	x<entry>   milliseconds, 10^12  when the entry expires
//	o<entry>   microseconds, 10^15  when it joined
//
// <entry> is <length of member>:<member><id>, which is the name of a written entry. All times are those of Redis. The key
// expires with its last entry, so a room that exists has an entry.
const scriptHead = `
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)

local firstExpiry, firstJoin, last = '10000000000', '100000000000000', '+inf'

local function countOf(entry)
  local colon = string.find(entry, ':', 1, true)
  return 'c' .. string.sub(entry, colon + 1, colon + tonumber(string.sub(entry, 1, colon - 1)))
end

local function drop(key, entry)
  redis.call('ZREM', key, 'x' .. entry, 'o' .. entry)
  local count = countOf(entry)
  if tonumber(redis.call('ZINCRBY', key, -1, count)) <= 0 then
    redis.call('ZREM', key, count)
  end
end

local function prune(key)
  for _, expired in ipairs(redis.call('ZRANGEBYSCORE', key, firstExpiry, now)) do
    drop(key, string.sub(expired, 2))
  end
end

local function setExpiry(key)
  local newest = redis.call('ZREVRANGEBYSCORE', key, '(' .. firstJoin, firstExpiry, 'WITHSCORES', 'LIMIT', 0, 1)
  if newest[2] then
    redis.call('PEXPIREAT', key, newest[2])
  end
end

local function alive(key, entry)
  return tonumber(redis.call('ZSCORE', key, countOf(entry)) or 0)
end
`

// touchScript creates or refreshes one entry for each key. ARGV: the time to live in milliseconds; then for each key the
// entry's name and its time of joining, 0 for now. It returns two numbers for each key: the time of joining, 0 if the entry
// existed; and the number of the member's live entries.
const touchScript = scriptHead + `
local function joined(key)
  local newest = redis.call('ZREVRANGEBYSCORE', key, last, firstJoin, 'WITHSCORES', 'LIMIT', 0, 1)
  if newest[2] and tonumber(newest[2]) >= micros then
    return tonumber(newest[2]) + 1 -- the clock went back, or two came at once
  end
  return micros
end

local answer = {}
for i, key in ipairs(KEYS) do
  local entry, stamp = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  local expiry = now + tonumber(ARGV[1])
  if redis.call('ZADD', key, expiry, 'x' .. entry) == 1 then
    prune(key)
    if stamp == 0 then
      stamp = joined(key)
    end
    redis.call('ZADD', key, stamp, 'o' .. entry)
    redis.call('ZINCRBY', key, 1, countOf(entry))
    setExpiry(key)
  else
    stamp = 0
    redis.call('PEXPIREAT', key, expiry, 'GT')
  end
  answer[2 * i - 1], answer[2 * i] = stamp, alive(key, entry)
end
return answer
`

// leaveScript removes one entry for each key. ARGV: their names. It returns for each key the number of live entries that the
// member still has.
const leaveScript = scriptHead + `
local answer = {}
for i, key in ipairs(KEYS) do
  prune(key)
  if redis.call('ZSCORE', key, 'x' .. ARGV[i]) then
    drop(key, ARGV[i])
    setExpiry(key)
  end
  answer[i] = alive(key, ARGV[i])
end
return answer
`

// membersScript returns the number of members of a room, and then the first of them. ARGV: how many.
const membersScript = scriptHead + `
local key, limit = KEYS[1], tonumber(ARGV[1])
prune(key)
local answer, seen, offset = {redis.call('ZCOUNT', key, 1, '(' .. firstExpiry)}, {}, 0
while #answer <= limit do
  local page = redis.call('ZRANGEBYSCORE', key, firstJoin, last, 'LIMIT', offset, limit)
  for _, joined in ipairs(page) do
    local count = countOf(string.sub(joined, 2))
    if not seen[count] and #answer <= limit then
      seen[count] = true
      answer[#answer + 1] = string.sub(count, 2)
    end
  end
  if #page < limit then
    break
  end
  offset = offset + limit
end
return answer
`

// limitScript spends a token of one bucket. The buckets of a Limit on a lane are one sorted set: a bucket's score is when it will
// be full again, in µs of Redis's clock. A full bucket has no entry. ARGV: the bucket; how many tokens, 0 to ask; 1 to spend even
// when there is none left; the burst; the refill in µs; the greatest number of buckets. It returns the wait in µs as it was
// before. When there are too many buckets, those that are full again first are dropped.
const limitScript = `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tokens, anyway, burst, refill = tonumber(ARGV[2]), ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local missing = math.max(0, (tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) or 0) - now)
local wait = math.max(0, missing - (burst - 1) * refill)
if tokens == 0 or wait > 0 and not anyway then
  return {wait}
end
missing = math.min(missing + tokens * refill, burst * refill)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if missing <= 0 then
  redis.call('ZREM', KEYS[1], ARGV[1])
  return {wait}
end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + missing), ARGV[1])
local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[6])
if over > 0 then
  redis.call('ZPOPMIN', KEYS[1], over)
end
redis.call('PEXPIRE', KEYS[1], math.ceil(burst * refill / 1000) + 1000)
return {wait}
`

type scripts struct{ touch, leave, members, limit *redis.Script }

func newScripts() scripts {
	return scripts{
		touch:   redis.NewScript(touchScript),
		leave:   redis.NewScript(leaveScript),
		members: redis.NewScript(membersScript),
		limit:   redis.NewScript(limitScript),
	}
}
