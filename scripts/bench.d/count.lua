-- What wrk sends if there are several cookies, and what it saw, in one line of numbers for load.py.

local requests = {}
local turn = 0

function init()
   local file = os.getenv("BENCH_COOKIES")
   if not file then return end
   for cookie in io.lines(file) do
      requests[#requests + 1] = wrk.format("GET", nil, { Cookie = cookie })
   end
   -- wrk asks for every request only if this is there.
   request = function()
      turn = turn % #requests + 1
      return requests[turn]
   end
end

function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format("counted %d %d %d %d %d %d\n",
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.timeout, errors.status,
      latency:percentile(50), latency:percentile(99)))
end
