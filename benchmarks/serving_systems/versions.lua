-- wrk: one instance x = 1; every answer has to fit the version in its header: version n answers x + (n - 1) % 4 + 1.
-- Prints one line of results when stopped.
wrong, refused, failed = 0, 0, 0
local threads = {}

function setup(thread)
   threads[#threads + 1] = thread
end

function init(args)
   request_text = wrk.format("POST", nil, {
      ["content-type"] = "application/json",
      ["authorization"] = "Bearer " .. args[1],
   }, '{"instances":[{"x":1.0}]}')
end

function request()
   return request_text
end

function response(status, headers, body)
   if status == 200 then
      local version = tonumber(headers["x-model-version"])
      local answer = tonumber(body:match('"predictions":%[([%d%.]+)%]'))
      if answer ~= 1 + (version - 1) % 4 + 1 then
         wrong = wrong + 1
      end
   elseif status == 503 and headers["retry-after"] then
      refused = refused + 1
   else
      failed = failed + 1
   end
end

function done(summary, latency, requests)
   local sums = { wrong = 0, refused = 0, failed = 0 }
   for _, thread in ipairs(threads) do
      for name in pairs(sums) do
         sums[name] = sums[name] + thread:get(name)
      end
   end
   local errors = summary.errors
   print(string.format("RESULT %d %d %d %d %d %d %d %d %d", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), sums.wrong, sums.refused,
      sums.failed, errors.connect + errors.read + errors.write, errors.timeout))
end
