#!lua flags=no-writes
-- Reads a record with the server's clock, for tools.
-- KEYS[1] record.
-- Replies: nothing, or the record, the milliseconds until it expires, and the server's time in milliseconds.
local stored = redis.call('GET', KEYS[1])
if not stored then
  return false
end
local time = redis.call('TIME')
return {stored, redis.call('PTTL', KEYS[1]), time[1] * 1000 + math.floor(time[2] / 1000)}
