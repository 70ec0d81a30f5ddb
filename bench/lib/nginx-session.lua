-- What people write when they put session checks into nginx: the cookie's value is a key in Redis, and behind it are
-- the header values, one per line. With a shared dictionary the answer is kept for a minute, whatever happens to it.
local port, cache = ...
local handle = ngx.var.cookie_bff_session
if handle == nil or #handle ~= 43 then return ngx.exit(401) end

local function read()
  local socket = ngx.socket.tcp()
  socket:settimeout(1000)
  if not socket:connect("127.0.0.1", port) then return nil, 503 end
  local key = "lua:" .. handle
  socket:send("*2\r\n$3\r\nGET\r\n$" .. #key .. "\r\n" .. key .. "\r\n")
  local head = socket:receive()
  if head == nil then return nil, 503 end
  local length = tonumber(head:sub(2))
  if length == nil or length < 0 then
    socket:setkeepalive(60000, 256)
    return nil, 401
  end
  local value = socket:receive(length)
  socket:receive(2)
  socket:setkeepalive(60000, 256)
  return value
end

local value = cache and cache:get(handle)
if value == nil then
  local status
  value, status = read()
  if value == nil then return ngx.exit(status) end
  if cache then cache:set(handle, value, 60) end
end

local headers = ngx.header
local at = 1
local names = {
  "Authorization", "X-User-Id", "X-User-Username", "X-User-Email", "X-User-Role", "X-User-Roles", "X-Auth-Session",
}
for i = 1, #names do
  local stop = value:find("\n", at, true) or #value + 1
  headers[names[i]] = value:sub(at, stop - 1)
  at = stop + 1
end
headers["Cache-Control"] = "no-store"
headers["Content-Length"] = 0
ngx.exit(200)
