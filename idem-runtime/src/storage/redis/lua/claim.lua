#!lua
-- A claim that met a processing record of another owner, or a released one: decides by the server's clock whether a lease is over. If it is
-- not, the record is marked as waited for, so that its end is published; a takeover keeps the mark, for those who still wait.
-- KEYS[1] record; ARGV[1] the record the caller would make where there is none; ARGV[2] its retention in milliseconds.
-- Replies: minus the milliseconds left of the lease, or the record that is there now, the caller's own if it acquired it, or a list of the
-- record if the caller has parked it.
-- The offsets are those of wire.rs, counted from 1.
local sub = string.sub
local stored = redis.call('GET', KEYS[1])
local fresh = ARGV[1]
if stored then
  local status = sub(stored, 18, 18)
  local processing = status == 'P' or status == 'W'
  local decides = #stored == 76 and sub(stored, 1, 1) == '\1' and (processing or status == 'R')
  if not decides or sub(stored, 27, 59) ~= sub(fresh, 27, 59) then
    return stored
  end
  local policy = sub(fresh, 60, 60)
  if processing then
    if sub(fresh, 2, 17) == sub(stored, 2, 17) then
      return stored
    end
    -- Every sign of life sets the key's time to lease + ttl, and that of one that is to be parked to 1000 years more, so what exceeds
    -- them is left of the lease.
    local parks = string.upper(sub(stored, 60, 60)) == 'P'
    local left = redis.call('PTTL', KEYS[1]) - struct.unpack('>I8', stored, 69)
    if parks then
      left = left - 31557600000000
    end
    if left > 0 then
      if status == 'P' then
        redis.call('SETRANGE', KEYS[1], 17, 'W')
      end
      return -left
    end
    if parks then
      local time = redis.call('TIME')
      local at = time[1] * 1000 + math.floor(time[2] / 1000)
      local parked = sub(stored, 1, 17) .. 'I' .. sub(stored, 19, 60) .. struct.pack('>I8I8', at, 0)
      -- Without an expiry: it is kept until its late owner or an operator resolves it.
      redis.call('SET', KEYS[1], parked)
      return {parked}
    end
    policy = string.upper(policy)
  else
    status = 'P'
  end
  local fence = struct.pack('>I8', struct.unpack('>I8', stored, 19) + 1)
  fresh = sub(fresh, 1, 17) .. status .. fence .. sub(fresh, 27, 59) .. policy .. sub(fresh, 61)
end
redis.call('PSETEX', KEYS[1], ARGV[2], fresh)
return fresh
