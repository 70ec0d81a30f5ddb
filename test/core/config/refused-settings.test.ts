import { describe } from 'node:test';
import { type Refusal, SETTINGS, settings, testRefusals } from './support.ts';

const CASES: readonly Refusal[] = [
  {
    name: 'a secret made of one byte',
    sources: { settings: settings(''), environment: { SEAL: Buffer.alloc(32, 7).toString('base64url') } },
    lines: [
      'settings.yaml:7:24 keys.seal[0].secret: ${SEAL} is not random, expected 32 random bytes in base64url, make one with "sallyport keygen"',
    ],
  },
  {
    name: 'a phrase for a secret',
    sources: {
      settings: settings(''),
      environment: { SEAL: Buffer.from('correct horse battery staple 1234').subarray(0, 32).toString('base64') },
    },
    lines: [
      'settings.yaml:7:24 keys.seal[0].secret: ${SEAL} is not random, expected 32 random bytes in base64url, make one with "sallyport keygen"',
    ],
  },
  {
    name: 'a counting secret',
    sources: {
      settings: settings(''),
      environment: { SEAL: Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('base64url') },
    },
    lines: [
      'settings.yaml:7:24 keys.seal[0].secret: ${SEAL} is not random, expected 32 random bytes in base64url, make one with "sallyport keygen"',
    ],
  },
  {
    name: 'a secret too short, and one that is no base64url',
    sources: {
      settings: SETTINGS.replace(
        '    - {id',
        '    - {id: k0, secret: "${SHORT}"}\n    - {id: k2, secret: "pass word!"}\n    - {id',
      ),
      environment: { SHORT: 'c2hvcnQ' },
    },
    lines: [
      'settings.yaml:7:24 keys.seal[0].secret: ${SHORT} has 5 bytes, expected 32 random bytes in base64url, make one with "sallyport keygen"',
      'settings.yaml:8:24 keys.seal[1].secret: *** is not base64url, expected 32 random bytes in base64url, make one with "sallyport keygen"',
    ],
  },
  {
    name: 'a secret with a default',
    sources: { settings: SETTINGS.replace('${SEAL}', '${SEAL:-kJ0sTQv3m2Yw8bZ1rXn4LcA7uHdE6pGf9oIiSxVyBQM}') },
    lines: [
      'settings.yaml:7:24 keys.seal[0].secret: a secret has a default, expected no ":-…" in the expression, remove the default',
    ],
  },
  {
    name: 'an empty secret',
    sources: { environment: { SEAL: '' } },
    lines: [
      'settings.yaml:7:24 keys.seal[0].secret: ${SEAL} is empty, expected 32 random bytes in base64url, make one with "sallyport keygen"',
    ],
  },
  {
    name: 'one key twice',
    sources: { settings: settings('    - {id: k1, secret: "${SEAL}"}\n') },
    lines: [
      'settings.yaml:8:12 keys.seal[1].id: "k1" names two keys, expected different ids, rename one',
      'settings.yaml:8:24 keys.seal[1].secret: ${SEAL} is the key k1 again, expected different keys, remove one',
    ],
  },
  {
    name: 'no seal key',
    sources: { settings: SETTINGS.replace(/keys:[\s\S]*/, 'keys: {seal: []}\n') },
    lines: [
      'settings.yaml:5:8 keys.seal: the list is empty, expected 1 to 16 different items, add an item, or remove the key',
    ],
  },
  {
    name: 'no keys at all',
    sources: { settings: SETTINGS.replace(/keys:[\s\S]*/, '') },
    lines: ['settings.yaml:1:1 keys: is missing, expected a map, add the line'],
  },
  {
    name: 'two listeners on one port',
    sources: { settings: settings('listen:\n  public: {port: 8080}\n  verify: {address: 127.0.0.1, port: 8080}\n') },
    lines: [
      'settings.yaml:10:38 listen.verify.port: the port of listen.public again, expected a port of its own, change one of the two',
    ],
  },
  {
    name: 'a proxy that is no address',
    sources: { settings: settings('trusted_proxies: [10.0.0.0/33, gateway, 10.0.0.1]\n') },
    lines: [
      'settings.yaml:8:19 trusted_proxies[0]: "10.0.0.0/33" is not an address block, expected an address, a CIDR block such as 10.0.0.0/24, loopback or private, correct the address or the prefix length',
      'settings.yaml:8:32 trusted_proxies[1]: "gateway" is not an address block, expected an address, a CIDR block such as 10.0.0.0/24, loopback or private, correct the address or the prefix length',
    ],
  },
  {
    name: 'paths that overlap',
    sources: {
      settings: settings('paths:\n  auth: /auth/\n  api_auth: /api/auth\n  verify: [/api/auth/check, validate]\n'),
    },
    lines: [
      'settings.yaml:9:9 paths.auth: "/auth/" ends with a slash, expected a path such as /auth, begin with one slash, end without',
      'settings.yaml:11:29 paths.verify[1]: "validate" does not begin with a slash, expected a path such as /auth, begin with one slash, end without',
    ],
  },
  {
    name: 'an address of ours twice',
    sources: { settings: settings('paths: {health: [/health, /readyz, /auth/health]}\n') },
    lines: [
      'settings.yaml:8:27 paths.health[1]: "/readyz" is the readiness address, expected another path, change it',
      'settings.yaml:8:36 paths.health[2]: "/auth/health" overlaps with /auth, expected paths apart from each other, change one of the two',
    ],
  },
  {
    name: 'a verify path below the auth prefix',
    sources: { settings: settings('paths: {verify: [/auth/verify]}\n') },
    lines: [
      'settings.yaml:8:18 paths.verify[0]: "/auth/verify" overlaps with /auth, expected paths apart from each other, change one of the two',
    ],
  },
  {
    name: 'a Redis URL of another scheme',
    sources: { settings: settings('store:\n  kind: redis\n  redis: {url: "http://user:hunter2secret@redis:6379"}\n') },
    lines: [
      'settings.yaml:10:16 store.redis.url: *** is not a usable Redis URL, expected redis://[user:password@]host[:port][/db] or rediss://…, correct the URL; escape special characters of the password as %XX',
    ],
  },
  {
    name: 'a Redis store without URL',
    sources: { settings: settings('store: {kind: redis}\n') },
    lines: [
      'settings.yaml:8:1 store.redis.url: is missing, expected redis://[user:password@]host[:port][/db] or rediss://…, add the line',
    ],
  },
  {
    name: 'a Redis password twice, TLS without TLS',
    sources: {
      settings: settings(
        'store:\n  kind: redis\n  redis:\n    url: ${REDIS_URL}\n    password: another-secret\n    tls: {ca_file: ca.pem}\n',
      ),
      environment: { REDIS_URL: 'redis://:hunter2secret@127.0.0.1' },
    },
    lines: [
      'settings.yaml:12:15 store.redis.password: password is in the URL too, expected one of the two, remove the line',
      'settings.yaml:13:5 store.redis.tls: tls with a redis:// URL, expected rediss://, change the URL or remove tls',
    ],
  },
  {
    name: 'certificates that cannot be read',
    sources: {
      settings: settings(
        'store:\n  kind: redis\n  redis:\n    url: rediss://redis\n    tls: {ca_file: missing.pem, cert_file: /tls/cert.pem}\n',
      ),
      files: { '/tls/cert.pem': 'not a certificate' },
    },
    lines: [
      'settings.yaml:12:20 store.redis.tls.ca_file: the file "missing.pem" does not exist, expected a readable PEM file, create the file or correct its path',
      'settings.yaml:12:44 store.redis.tls.cert_file: stands without key_file, expected both or none, add key_file',
      'settings.yaml:12:44 store.redis.tls.cert_file: the file "/tls/cert.pem" holds no PEM block, expected a readable PEM file, name a PEM file',
    ],
  },
  {
    name: 'several workers with the memory store',
    sources: { settings: settings('workers: 4\n') },
    lines: [
      'settings.yaml:1:1 store.kind: the memory store serves one process, but workers is 4, expected redis, use a Redis store or set workers: 1',
    ],
  },
  {
    name: 'header names that clash, or mean something else',
    sources: {
      settings: settings(
        'identity_headers:\n  X-User-Id: {principal: user_id}\n  X_User_Id: {principal: email}\n  Connection: {principal: name}\n  "bad header": {principal: name}\n',
      ),
    },
    lines: [
      'settings.yaml:10:3 identity_headers.X_User_Id: clashes with X-User-Id: many servers read both as one, expected names that differ in letters or digits, rename one',
      'settings.yaml:11:3 identity_headers.Connection: the header has a meaning of its own, expected a name such as X-User-Id, choose another name',
      'settings.yaml:12:3 identity_headers."bad header": the name is not allowed, expected a header name: letters, digits and -, at most 64, rename it',
    ],
  },
  {
    name: 'identity headers with no source, two sources, and the wrong source',
    sources: {
      settings: settings(
        'identity_headers:\n  X-A: {}\n  X-B: {principal: name, claim: /x}\n  X-C: {principal: email, join: ";"}\n  X-D: {claim: department}\n  X-E: {principal: roles, pick: first, join: ","}\n  Authorization: {token: matched, raw: true}\n',
      ),
    },
    lines: [
      'settings.yaml:9:3 identity_headers.X-A: says no source, expected exactly one of token, principal, session, claim, add one',
      'settings.yaml:10:3 identity_headers.X-B: says principal and claim, expected exactly one of token, principal, session, claim, remove the others',
      'settings.yaml:11:3 identity_headers.X-C: pick or join without a list, expected them beside claim, roles or groups, remove them',
      'settings.yaml:12:16 identity_headers.X-D.claim: "department" is not a JSON Pointer, expected a JSON Pointer such as /realm_access/roles, begin with a slash; ~1 stands for a slash, ~0 for a tilde',
      'settings.yaml:13:46 identity_headers.X-E.join: join and pick, expected one of the two, remove one',
      'settings.yaml:14:3 identity_headers.Authorization: Authorization holds something else than a bearer token, expected {token: matched}, use another header',
    ],
  },
  {
    name: 'an identity header allowed from browsers',
    sources: { settings: settings('cors: {allow_headers: [content-type, x-csrf, X-User-Id, "*"]}\n') },
    lines: [
      'settings.yaml:8:46 cors.allow_headers[2]: "X-User-Id" is an identity header, expected headers that scripts may send, remove it',
      'settings.yaml:8:57 cors.allow_headers[3]: "*" cannot be allowed, expected names of headers, remove it',
    ],
  },
  {
    name: 'a CSRF header that any page can send',
    sources: { settings: settings('csrf: {header: Accept}\n') },
    lines: [
      'settings.yaml:8:16 csrf.header: "Accept" can be sent by any page, expected a header of its own such as X-CSRF, choose another header',
    ],
  },
  {
    name: 'a policy with unsafe-eval and without blob workers',
    sources: {
      settings: settings(
        `security_headers:\n  csp: "script-src 'self' 'unsafe-eval'; worker-src 'self'"\n  hsts: never\n`,
      ),
    },
    lines: [
      "settings.yaml:9:8 security_headers.csp: the policy allows 'unsafe-eval' and has no worker-src with blob:, expected a policy with worker-src 'self' blob: and without 'unsafe-eval', correct the policy",
      'settings.yaml:10:9 security_headers.hsts: "never" is not valid, expected none or a map with max_age and include_subdomains, correct it',
    ],
  },
  {
    name: 'a shared secret that is short',
    sources: { settings: settings('verify: {shared_secret: hunter2}\n') },
    lines: [
      'settings.yaml:8:25 verify.shared_secret: *** is too short, expected at least 16 characters of visible ASCII, choose another secret',
    ],
  },
  {
    name: 'an e-mail address for a domain',
    sources: { settings: settings('login:\n  allow: {email_domains: ["@example.com"]}\n') },
    lines: [
      'settings.yaml:9:27 login.allow.email_domains[0]: "@example.com" is not a domain, expected a domain such as example.com, leave the @ out',
    ],
  },
  {
    name: 'pauses of the token refresh in the wrong order',
    sources: { settings: settings('refresh: {backoff: {first: 2m, max: 30s}}\n') },
    lines: [
      'settings.yaml:8:28 refresh.backoff.first: "2m" is longer than refresh.backoff.max, expected a shorter one, shorten it',
    ],
  },
  {
    name: 'a logout address over plain http',
    sources: { settings: settings('logout: {post_logout_redirect_uri: http://bye.example.com/}\n') },
    lines: [
      'settings.yaml:8:36 logout.post_logout_redirect_uri: "http://bye.example.com/" is plain http to another machine, expected default or an https URL, correct the URL',
    ],
  },
  {
    name: 'a telemetry sink and logins that count what nobody knows yet, and a metric that has no such name',
    sources: {
      settings: settings(
        'login:\n  rate_limit: {average: 1, period: 1s, burst: 1, key: user}\ntelemetry_sink:\n  enabled: true\n  rate_limit: {average: 1, period: 1s, burst: 1, key: session}\n  names: [lcp, "a-b"]\n',
      ),
    },
    lines: [
      'settings.yaml:9:55 login.rate_limit.key: "user" is not known here, expected client_ip, change it',
      'settings.yaml:12:55 telemetry_sink.rate_limit.key: "session" is not known here, expected client_ip, change it',
      'settings.yaml:13:16 telemetry_sink.names[1]: "a-b" cannot be the name of a metric, expected a letter, then letters, digits and _, at most 64, rename it',
    ],
  },
  {
    name: 'the servers of another mode, a database in a seed, and seeds that differ',
    sources: {
      settings: settings(
        'store:\n  kind: redis\n  redis:\n    mode: cluster\n    url: redis://localhost\n    sentinels: {master: m, urls: [redis://localhost]}\n    seed_urls: [redis://localhost:7001/2, rediss://localhost:7002]\n',
      ),
    },
    lines: [
      'settings.yaml:12:10 store.redis.url: belongs to mode: single, but mode is cluster, expected one mode, remove the line',
      'settings.yaml:13:5 store.redis.sentinels: belongs to mode: sentinel, but mode is cluster, expected one mode, remove the line',
      'settings.yaml:14:5 store.redis.seed_urls: the URLs differ in scheme, user or password, expected the same for all, write them alike, or use username and password',
      'settings.yaml:14:17 store.redis.seed_urls[0]: the URL names a database, expected a URL without a path, remove the path',
    ],
  },
  {
    name: 'a CSRF cookie that is another cookie, or that browsers would refuse',
    sources: {
      settings: settings('csrf: {mode: token, cookie: __Host-bff_loop}\ninsecure_http: true\n').replace(
        'https://app.example.com',
        'http://localhost:8080',
      ),
    },
    lines: [
      'settings.yaml:8:29 csrf.cookie: "__Host-bff_loop" is another cookie of Sallyport, expected a name of its own, choose another name',
      'settings.yaml:8:29 csrf.cookie: "__Host-bff_loop" needs Secure cookies, expected insecure_http: false, choose a name without prefix',
    ],
  },
  {
    name: 'features of later versions',
    sources: {
      settings: settings(
        'listen:\n  public: {tls: {cert_file: a, key_file: b}}\nsession:\n  idle: 20m\nstore:\n  serve_stale: 5s\nverify: {gateway: nginx}\ntracing: {enabled: true}\nlog: {access: sampled}\npages: {directory: /pages}\n',
      ),
    },
    lines: [
      'settings.yaml:9:12 listen.public.tls: not available in this version, expected no such key, remove the line',
      'settings.yaml:13:3 store.serve_stale: not available in this version, expected 0s, remove the line',
      'settings.yaml:14:10 verify.gateway: not available in this version, expected traefik, remove the line',
      'settings.yaml:15:11 tracing.enabled: not available in this version, expected false, remove the line',
      'settings.yaml:16:7 log.access: not available in this version, expected none or all, remove the line',
      'settings.yaml:17:9 pages.directory: not available in this version, expected null, remove the line',
    ],
  },
];

describe('contradictions in settings.yaml are refused, with the exact lines', () => testRefusals(CASES));
