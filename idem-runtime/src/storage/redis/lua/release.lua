#!lua flags=allow-oom
-- Forgets a claim, if the caller is still its owner, and wakes the waiters where there are any.
-- KEYS[1] record; ARGV[1] version and owner of a record that the caller is at work on.
-- Replies: 1, or what is there instead.
-- One byte more than such a record has, to tell a whole one.
local head = redis.call('GETRANGE', KEYS[1], 0, 76)
local status = string.sub(head, 18, 18)
if #head == 76 and string.sub(head, 1, 17) == ARGV[1] and (status == 'P' or status == 'W') then
  redis.call('DEL', KEYS[1])
  if status == 'W' then
    redis.pcall('SPUBLISH', KEYS[1], '')
  end
  return 1
end
return redis.call('GET', KEYS[1])
