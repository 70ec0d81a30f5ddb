/**
 * The Lua scripts of the Redis store. Each touches one key, so that they run on a Cluster as they are, also while
 * slots move (several keys are refused there); store-valkey.ts sequences what concerns several. Times are the caller's (ms since the epoch); keys get the time left as
 * their expiry, so that clocks that differ between machines do not shorten a session, and field `e` holds the end
 * itself, so that an injected clock rules. Numbers are written back as the strings that came in: Lua would print
 * 1.7e+12.
 */
export type ScriptName = keyof typeof SCRIPTS;

/** What a script can be given. */
export type ScriptArgument = string | number | Buffer;

/** What a script can answer. */
export type ScriptReply = string | number | (string | number)[];

/** Evaluates to true in Lua if the session at KEYS[1] is missing or over at ARGV[1]; leaves its end in `e`. */
const GONE = `
local e = redis.call('HGET', KEYS[1], 'e')
local gone = not e or tonumber(e) <= tonumber(ARGV[1])
`;

/** The Lua scripts by name; each touches one key (D-18). */
export const SCRIPTS = {
  /** KEYS session; ARGV now, expiresAt, ttlMs, then field and value pairs. 1 = written, 0 = exists. */
  createSession: `${GONE}
if not gone then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'r', '1', 'n', ARGV[1], 'e', ARGV[2])
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1`,

  /** KEYS session; ARGV now, expiresAt, ttlMs. 1 = seen, 0 = gone. Neither value ever moves backwards (D-17). */
  touchSession: `${GONE}
if gone then return 0 end
local n = redis.call('HGET', KEYS[1], 'n')
if not n or tonumber(ARGV[1]) > tonumber(n) then redis.call('HSET', KEYS[1], 'n', ARGV[1]) end
if tonumber(ARGV[2]) > tonumber(e) then
  redis.call('HSET', KEYS[1], 'e', ARGV[2])
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
end
return 1`,

  /** KEYS session; ARGV now, revision, maxBytes, then field and value pairs. `written`, `gone`, `conflict`, `size`. */
  updateSession: `${GONE}
if gone then return 'gone' end
if redis.call('HGET', KEYS[1], 'r') ~= ARGV[2] then return 'conflict' end
local bytes = 0
local changed = { r = true, n = true, e = true }
for i = 4, #ARGV, 2 do
  changed[ARGV[i]] = true
  bytes = bytes + #ARGV[i] + #ARGV[i + 1]
end
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if not changed[name] then bytes = bytes + #name + redis.call('HSTRLEN', KEYS[1], name) end
end
if bytes > tonumber(ARGV[3]) then return 'size' end
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HINCRBY', KEYS[1], 'r', 1)
return 'written'`,

  /** KEYS session; ARGV now. 1 = a session that was not over is deleted, 0 = there was none. */
  endSession: `${GONE}
redis.call('DEL', KEYS[1])
return gone and 0 or 1`,

  /** KEYS lease; ARGV owner. 1 = given back, 0 = gone or another's (D-19). */
  releaseLease: `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`,

  /** KEYS counter; ARGV windowMs. The count with this event, and the milliseconds that are left of its window (D-43). */
  countEvent: `
local count = redis.call('HINCRBY', KEYS[1], 'n', 1)
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return { count, left }`,

  /** KEYS index; ARGV now, absoluteAt, ttlMs, locator. 1 = added, 0 = was there. Drops entries that are over. */
  addToIndex: `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local added = redis.call('ZADD', KEYS[1], 'NX', ARGV[2], ARGV[4])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return added`,

  /** KEYS index; ARGV now. The locators whose absolute end lies ahead, first end in front. */
  listIndex: `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)`,

  /** KEYS tombstone; ARGV now, until, ttlMs. Neither value ever moves backwards. */
  writeTombstone: `
local mark = redis.call('HMGET', KEYS[1], 'w', 'u')
if not mark[1] or tonumber(ARGV[1]) > tonumber(mark[1]) then redis.call('HSET', KEYS[1], 'w', ARGV[1]) end
if not mark[2] or tonumber(ARGV[2]) > tonumber(mark[2]) then
  redis.call('HSET', KEYS[1], 'u', ARGV[2])
  if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
end
return 1`,
} as const satisfies Record<string, string>;
