#!lua flags=allow-oom
-- Starts the lease and the retention again, if the caller is still the owner.
-- KEYS[1] record; ARGV[1] version and owner of a record that the caller is at work on.
-- Replies: 1, or what is there instead.
-- One byte more than such a record has, to tell a whole one.
local head = redis.call('GETRANGE', KEYS[1], 0, 76)
local status = string.sub(head, 18, 18)
if #head == 76 and string.sub(head, 1, 17) == ARGV[1] and (status == 'P' or status == 'W') then
  local lease, ttl = struct.unpack('>I8I8', head, 61)
  local parks = string.upper(string.sub(head, 60, 60)) == 'P'
  redis.call('PEXPIRE', KEYS[1], lease + ttl + (parks and 31557600000000 or 0))
  return 1
end
return redis.call('GET', KEYS[1])
