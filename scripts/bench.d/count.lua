-- What wrk saw, in one line of numbers for load.py.
function done(summary, latency, _)
   local errors = summary.errors
   io.write(string.format("counted %d %d %d %d %d\n",
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.timeout + errors.status,
      latency:percentile(50), latency:percentile(99)))
end
