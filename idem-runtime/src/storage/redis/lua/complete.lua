#!lua
-- Records how the operation ended, if the caller is still its owner, and wakes the waiters.
-- KEYS[1] record; ARGV[1] version and owner; ARGV[2] new status; ARGV[3] retention in milliseconds; ARGV[4] what follows the time.
-- Replies: 1, or what is there instead.
local sub = string.sub
-- One byte more than such a record has, to tell a whole one.
local head = redis.call('GETRANGE', KEYS[1], 0, 76)
local status = sub(head, 18, 18)
if (status == 'P' or status == 'I') and #head == 76 and sub(head, 1, 17) == ARGV[1] then
  local time = redis.call('TIME')
  local at = struct.pack('>I8', time[1] * 1000 + math.floor(time[2] / 1000))
  redis.call('PSETEX', KEYS[1], ARGV[3], ARGV[1] .. ARGV[2] .. sub(head, 19, 60) .. at .. ARGV[4])
  -- A user without the right to publish completes all the same; waiters poll.
  redis.pcall('SPUBLISH', KEYS[1], '')
  return 1
end
return redis.call('GET', KEYS[1])
