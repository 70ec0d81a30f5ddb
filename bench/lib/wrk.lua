-- Sends the requests of a file in turn. The file holds whole requests, each followed by a line "%%".
local requests = {}
local at = 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a")
  file:close()
  local from = 1
  while true do
    local stop, next_from = text:find("\n%%\n", from, true)
    if stop == nil then break end
    requests[#requests + 1] = text:sub(from, stop - 1)
    from = next_from + 1
  end
  text = nil
  collectgarbage()
end

function request()
  at = at + 1
  if at > #requests then at = 1 end
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"durationUs":%d,"badStatus":%d,"failed":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
