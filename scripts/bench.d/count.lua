-- What wrk sends and when, and what it saw, in one line of numbers for load.py.

local CLIENTS = 8
local requests = {}
local turn = 0
local started = 0

function setup(thread)
   thread:set("number", started)
   started = started + 1
end

function init()
   local pause = tonumber(os.getenv("BENCH_PAUSE_MS"))
   if pause then
      -- Each connection waits so long on average; never in step with the others.
      delay = function()
         return math.random(math.floor(pause / 2), math.floor(pause * 3 / 2))
      end
   end
   local file = os.getenv("BENCH_COOKIES")
   if not file then return end
   local cookies = {}
   for cookie in io.lines(file) do cookies[#cookies + 1] = cookie end
   -- A session that comes again comes from another client. One and the same, saving again and again with the cookie of
   -- the set-up, would be requests at the same time to the module: each would go on from what the one before has saved.
   for client = 1, CLIENTS do
      for _, cookie in ipairs(cookies) do
         requests[#requests + 1] = wrk.format("GET", nil, { Cookie = cookie, ["User-Agent"] = "client-" .. client })
      end
   end
   -- A second thread begins elsewhere: the same session at the same time would wait.
   turn = math.floor(#requests * 0.45) * number
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
