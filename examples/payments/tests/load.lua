-- Pays with keys of its own thread, one after the other; every fifth request comes again with a key that was sent before.

local threads = {}

function setup(thread)
   thread:set("id", #threads)
   table.insert(threads, thread)
end

function init(arguments)
   keys = 0
   sent = 0
   replayed = 0
   refused = 0
   body = '{"amount":1999,"currency":"eur","card":"tok_visa"}'
end

function request()
   sent = sent + 1
   local key
   if sent % 5 == 0 then
      -- The one before is most likely still being handled, the older ones are not.
      key = math.max(1, keys - sent % 60)
   else
      keys = keys + 1
      key = keys
   end
   local headers = {
      ["Authorization"] = "Bearer sk_test_load",
      ["Content-Type"] = "application/json",
      ["Idempotency-Key"] = string.format("%d-%d", id, key),
   }
   return wrk.format("POST", "/payments", headers, body)
end

function response(status, headers, body)
   if headers["idempotent-replayed"] or headers["Idempotent-Replayed"] then
      replayed = replayed + 1
   elseif status ~= 201 then
      refused = refused + 1
   end
end

function done(summary, latency, requests)
   for index, thread in ipairs(threads) do
      io.write(string.format("thread %d sent %d replayed %d refused %d\n", index - 1,
         thread:get("keys"), thread:get("replayed"), thread:get("refused")))
   end
end
