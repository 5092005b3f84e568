#!lua
-- Records how operations ended whose callers are still their owners, and wakes the waiters where there are any.
-- KEYS records; ARGV for each of them: how a record begins that the caller is at work on and nobody waits for (version, owner, status);
-- how the finished one begins; its retention in milliseconds, 0 for one that does not expire; what follows its time.
-- Replies: 1, or what is there instead, or an error; for several records one of these each. They are completed one after the other,
-- for two may be the same, and an error of one changes nothing for the others.
-- Every call of the server and every string that is made shows in the throughput: hence one comparison for the usual case.
local sub, call = string.sub, redis.pcall
local at

local function complete(key, arg)
  local stored = call('GET', key)
  if not stored or #stored ~= 76 then
    return stored
  end
  local usual = sub(stored, 1, 18) == ARGV[arg]
  if not usual then
    local status, becomes = sub(stored, 18, 18), sub(ARGV[arg + 1], 18, 18)
    local is_open = status == 'W' or (status == 'I' and becomes ~= 'I')
    if sub(stored, 1, 17) ~= sub(ARGV[arg], 1, 17) or not is_open then
      return stored
    end
  end
  if not at then
    local time = call('TIME')
    at = struct.pack('>I8', time[1] * 1000 + time[2] / 1000)
  end
  local finished = ARGV[arg + 1] .. sub(stored, 19, 60) .. at .. ARGV[arg + 3]
  local written
  if ARGV[arg + 2] == '0' then
    written = call('SET', key, finished)
  else
    written = call('PSETEX', key, ARGV[arg + 2], finished)
  end
  if written.err then
    return written
  end
  if not usual then
    -- A user without the right to publish completes all the same; waiters poll.
    call('SPUBLISH', key, '')
  end
  return 1
end

if #KEYS == 1 then
  return complete(KEYS[1], 1)
end
local replies = {}
for number, key in ipairs(KEYS) do
  replies[number] = complete(key, number * 4 - 3)
end
return replies
