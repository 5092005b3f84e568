#!lua flags=allow-oom
-- Tries on a key that no record has every command that the other scripts use, and leaves nothing behind: an expiry in the past deletes.
-- KEYS[1] the key.
-- Replies: the names of the commands that the server refuses.
local refused = {}

local function try(command, ...)
  local reply = redis.pcall(command, ...)
  if type(reply) == 'table' and reply.err then
    refused[#refused + 1] = command
  end
end

local key = KEYS[1]
try('TIME')
try('SET', key, 'probe', 'PX', 1)
try('PSETEX', key, 1, 'probe')
try('GET', key)
try('GETRANGE', key, 0, 1)
try('SETRANGE', key, 0, '')
try('PTTL', key)
try('PEXPIRE', key, -1)
try('SPUBLISH', key, '')
return refused
