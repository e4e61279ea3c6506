"""What runs inside Redis: each script is atomic, on the server and in its append-only file."""

from __future__ import annotations

# An entry of the stream has the id SEQ-0 and one field: the JSON array event_id, user_id, item_id, timestamp, event (kind),
# value, received. Clients read one text an event several times as fast as seven.

# KEYS: stream, ids, last; ARGV: prefix of the users' keys, then event_id, user_id, timestamp and the JSON array of each event.
# Answers with each event's seq, negative where its id was known.
APPEND = """
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
local answers = {}
for at = 2, #ARGV, 4 do
  local known = redis.call('HGET', KEYS[2], ARGV[at])
  if known then
    answers[#answers + 1] = -tonumber(known)
  else
    last = last + 1
    local seq = string.format('%.0f', last)
    redis.call('XADD', KEYS[1], seq .. '-0', 'e', ARGV[at + 3])
    redis.call('HSET', KEYS[2], ARGV[at], seq)
    redis.call('ZADD', ARGV[1] .. ARGV[at + 1], ARGV[at + 2], string.format('%016.0f', last))
    answers[#answers + 1] = last
  end
end
redis.call('SET', KEYS[3], string.format('%.0f', last))
return answers
"""

# KEYS: stream, the user's key; ARGV: highest score, limit. The members are seqs of one width: equal scores are in their order.
HISTORY = """
local found = {}
for _, member in ipairs(redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[1], '-inf', 'LIMIT', 0, ARGV[2])) do
  local seq = string.format('%.0f', tonumber(member))
  found[#found + 1] = redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-0')[1]
end
return found
"""

# KEYS: stream, ids; ARGV: event_id
GET = """
local seq = redis.call('HGET', KEYS[2], ARGV[1])
if not seq then return {} end
return redis.call('XRANGE', KEYS[1], seq .. '-0', seq .. '-0')
"""

# KEYS: stream; ARGV: prefix of the users' keys, then seqs. The ids stay in the hash of ids.
REMOVE = """
local removed = 0
for at = 2, #ARGV do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[at] .. '-0', ARGV[at] .. '-0')[1]
  if entry then
    redis.call('ZREM', ARGV[1] .. cjson.decode(entry[2][2])[2], string.format('%016.0f', tonumber(ARGV[at])))
    removed = removed + redis.call('XDEL', KEYS[1], ARGV[at] .. '-0')
  end
end
return removed
"""

# KEYS: notes; ARGV: name, text, and where there is one already what it was. A call may be repeated, so it may find its own text.
RENOTE = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found == ARGV[2] then return 1 end
if found ~= (ARGV[3] or false) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

# KEYS: records, their order; ARGV: how many are kept, then request_id and record of each
LOG_REQUESTS = """
for at = 2, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[at + 1]) == 1 then
    redis.call('RPUSH', KEYS[2], ARGV[at])
  end
end
for _ = 1, redis.call('LLEN', KEYS[2]) - tonumber(ARGV[1]) do
  redis.call('HDEL', KEYS[1], redis.call('LPOP', KEYS[2]))
end
return 1
"""
