-- wrk: sends the bodies of a file in turn (one a line), with a token; prints one line of results.
local bodies, turn = {}, 0

function init(args)
   for line in io.lines(args[1]) do
      bodies[#bodies + 1] = wrk.format("POST", nil, {
         ["content-type"] = "application/json",
         ["authorization"] = "Bearer " .. args[2],
      }, line)
   end
end

function request()
   turn = turn % #bodies + 1
   return bodies[turn]
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format("RESULT %d %d %d %d %d %d %d", summary.requests, summary.duration,
      latency:percentile(50), latency:percentile(99), errors.status,
      errors.connect + errors.read + errors.write, errors.timeout))
end
