#!lua
-- A claim that met a processing record of another owner: decides by the server's clock whether its lease is over. If it is not, the
-- record is marked as waited for, so that its end is published; a takeover keeps the mark, for those who still wait.
-- KEYS[1] record; ARGV[1] the record the caller would make where there is none; ARGV[2] its retention in milliseconds.
-- Replies: a fence (the caller owns it), minus the milliseconds left of the lease, or a record that this script does not decide on.
-- The offsets are those of wire.rs, counted from 1.
local sub = string.sub
local stored = redis.call('GET', KEYS[1])
local fresh = ARGV[1]
local fence = 1
if stored then
  local status = sub(stored, 18, 18)
  local processing = #stored == 76 and sub(stored, 1, 1) == '\1' and (status == 'P' or status == 'W')
  if not processing or sub(stored, 27, 59) ~= sub(fresh, 27, 59) then
    return stored
  end
  fence = struct.unpack('>I8', stored, 19)
  if sub(stored, 2, 17) == sub(fresh, 2, 17) then
    return fence
  end
  -- Every sign of life sets the key's time to lease + ttl, so what exceeds the ttl is left of the lease.
  local ttl = struct.unpack('>I8', stored, 69)
  local left = redis.call('PTTL', KEYS[1]) - ttl
  if left > 0 then
    if status == 'P' then
      redis.call('SETRANGE', KEYS[1], 17, 'W')
    end
    return -left
  end
  if sub(stored, 60, 60) == 'p' then
    local time = redis.call('TIME')
    local at = time[1] * 1000 + math.floor(time[2] / 1000)
    local parked = sub(stored, 1, 17) .. 'I' .. sub(stored, 19, 60) .. struct.pack('>I8I8', at, 0)
    redis.call('PSETEX', KEYS[1], math.max(ttl, 1), parked)
    return parked
  end
  fence = fence + 1
  fresh = sub(fresh, 1, 17) .. status .. struct.pack('>I8', fence) .. sub(fresh, 27)
end
redis.call('PSETEX', KEYS[1], ARGV[2], fresh)
return fence
