#!lua flags=allow-oom
-- Gives a key back, if the caller is still its owner, and wakes the waiters where there are any. The record stays for its ttl, so that the
-- next owner's fence is higher.
-- KEYS[1] record; ARGV[1] version and owner of a record that the caller is at work on.
-- Replies: 1, or what is there instead.
-- One byte more than such a record has, to tell a whole one.
local head = redis.call('GETRANGE', KEYS[1], 0, 76)
local status = string.sub(head, 18, 18)
if #head == 76 and string.sub(head, 1, 17) == ARGV[1] then
  if status == 'P' or status == 'W' then
    local released = string.sub(head, 1, 17) .. 'R' .. string.sub(head, 19)
    redis.call('PSETEX', KEYS[1], math.max(struct.unpack('>I8', head, 69), 1), released)
    if status == 'W' then
      redis.pcall('SPUBLISH', KEYS[1], '')
    end
    return 1
  elseif status == 'R' then
    return 1
  end
end
return redis.call('GET', KEYS[1])
