import * as z from 'zod';
import {
  addresses,
  allowedOrigin,
  cookieDomain,
  cookieName,
  fileName,
  headerName,
  headerValue,
  host,
  isVisible,
  localTarget,
  name,
  origin,
  ownPath,
} from './leaves.ts';
import { choice, duration, flag, integer, keyInfo, list, named, secret, section, size, text } from './scalars.ts';
import { isToken } from './web.ts';

const sameSite = choice('SameSite attribute', ['lax', 'strict', 'none']);

/** Keys that a site's cookie shares with `session.cookie`. */
export const cookieKeys = {
  name: cookieName('Name of the session cookie'),
  same_site: sameSite,
  persistent: flag('true: the cookie outlives the browser, Max-Age = absolute'),
  partitioned: flag('true: CHIPS, for apps embedded in foreign sites'),
};

const site = section('One host group', {
  public_url: origin('Origin of redirect_uri, login and logout; the only source of absolute URLs'),
  hosts: list('Hosts served; `*.x.y` stands for exactly one label. Default: the host of public_url', host('One host'), {
    separator: 'comma',
    min: 1,
  }).optional(),
  cookie: section('Overrides session.cookie for this site', {
    name: cookieKeys.name.optional(),
    domain: cookieDomain('Domain attribute; without it the cookie is host-only').optional(),
    same_site: cookieKeys.same_site.optional(),
    persistent: cookieKeys.persistent.optional(),
    partitioned: cookieKeys.partitioned.optional(),
  }).prefault({}),
  idp: name('Provider of this site. Default: `default` of idps.yaml').optional(),
  origins: list('Allowed foreign origins for CORS, CSRF and WebSocket handshakes', allowedOrigin('One origin'), {
    separator: 'comma',
  }).default([]),
  default_return_to: localTarget('Target of a login without return_to. Default: login.return_to.default').optional(),
});

/** `sites` of settings.yaml. */
export const sites = named('Host groups; a session is valid on its own site only', site);

/** `paths` of settings.yaml. */
export const paths = section('Addresses of our own endpoints', {
  auth: ownPath('Login, callback, logout, verify').default('/auth'),
  api_auth: ownPath('Session information for scripts').default('/api/auth'),
  telemetry: ownPath('Telemetry sink').default('/api/v1/metrics'),
  verify: list('Further verify addresses besides <auth>/verify, /forward, /validate', ownPath('One path'), {
    separator: 'comma',
  }).default([]),
  health: list('Further health addresses besides <auth>/health and /readyz', ownPath('One path'), {
    separator: 'comma',
  }).default(['/health', '/healthz']),
}).prefault({});

const address = text(
  'Address to listen on',
  { expected: 'an IP address or localhost', fix: 'write for example 0.0.0.0' },
  (value) => {
    return /^(?:localhost|[0-9.]+|[0-9a-f:.]+)$/i.test(value) ? undefined : '{value} is not an address';
  },
);
const port = integer('Port; 0 = any free one', 0, 65_535);
const requiredTls = section('Certificate of this listener', {
  cert_file: fileName('Certificate chain, PEM'),
  key_file: fileName('Private key, PEM'),
});
const serverTls = requiredTls.optional();
const trustedPeers = choice('Who may ask: trusted_proxies, or everybody who reaches this port', [
  'proxies',
  'all',
]).default('proxies');

/** `listen` of settings.yaml. */
export const listen = section('Listeners', {
  public: section('Browsers, through the gateway or directly', {
    address: address.default('0.0.0.0'),
    port: port.default(8080),
    tls: serverTls,
  }).prefault({}),
  verify: section('ForwardAuth alone; without it verify shares `public`', {
    address: address.default('0.0.0.0'),
    port,
    trusted_peers: trustedPeers,
    tls: serverTls,
  }).optional(),
  verify_h2: section('ForwardAuth over HTTP/2, for gateways that dial anew for each request otherwise', {
    address: address.default('0.0.0.0'),
    port,
    trusted_peers: trustedPeers,
    tls: requiredTls,
  }).optional(),
  admin: section('Metrics and operations; without it there is none', {
    address: address.default('127.0.0.1'),
    port: port.default(9090),
    tls: serverTls,
  }).optional(),
}).prefault({});

/** `trusted_proxies` of settings.yaml. */
export const trustedProxies = addresses('Gateways whose forwarded headers are believed').default([]);

/** Headers a foreign page may send without a preflight (Fetch standard, CORS-safelisted), or none may set: no proof. */
const UNPROVING = new Set(
  'accept accept-language content-language content-type range cookie origin referer host'.split(' '),
);

const proofHeader = text(
  'Name of the header',
  { expected: 'a header of its own such as X-CSRF', fix: 'choose another header' },
  (value) => {
    if (!isToken(value) || value.length > 64) return '{value} is not a header name';
    return UNPROVING.has(value.toLowerCase()) ? '{value} can be sent by any page' : undefined;
  },
);

/** `csrf` of settings.yaml. */
export const csrf = section('Proof that an unsafe request comes from our own script', {
  mode: choice('header: a custom header; token: an HMAC bound to the session', ['header', 'token']).default('header'),
  header: proofHeader.default('X-CSRF'),
  value: headerValue('Value of the header').default('1'),
  cookie: cookieName('Readable cookie of token mode').default('bff_csrf'),
}).prefault({});

/** `cors` of settings.yaml; the origins are those of the sites. */
export const cors = section('What allowed foreign origins may send and read', {
  allow_headers: list('Request headers', headerName('One header'), { separator: 'comma' }).default([
    'content-type',
    'x-csrf',
    'traceparent',
  ]),
  allow_methods: list('Methods', choice('One method', ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']), {
    separator: 'comma',
    min: 1,
  }).default(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']),
  expose_headers: list('Response headers a script may read', headerName('One header'), { separator: 'comma' }).default([
    'x-request-id',
  ]),
  max_age: duration('How long a preflight answer is kept', '0s', '1d').default('10m'),
}).prefault({});

/** SPEC §10: blob workers yes, unsafe-eval never. */
function policyProblem(policy: string): string | undefined {
  const directives = policy.split(';').map((directive) => directive.trim().toLowerCase().split(/\s+/));
  const workers = directives.find(([directive]) => directive === 'worker-src');
  if (!/^[\x20-\x7e]+$/.test(policy)) return 'the policy has characters that no header may have';
  const faults = [
    directives.some((directive) => directive.includes("'unsafe-eval'")) ? "allows 'unsafe-eval'" : '',
    workers?.includes('blob:') ? '' : 'has no worker-src with blob:',
  ].filter((fault) => fault !== '');
  return faults.length === 0 ? undefined : `the policy ${faults.join(' and ')}`;
}

const hsts = section('Strict-Transport-Security', {
  max_age: duration('Its max-age', '0s', '3650d').default('8760h'),
  include_subdomains: flag('Cover the sub-domains too').default(false),
});

/** `security_headers` of settings.yaml. */
export const securityHeaders = section('Headers of the pages we serve', {
  hsts: z
    .union([choice('No such header', ['none']), hsts], {
      error: () => '{value} is not valid, expected none or a map with max_age and include_subdomains, correct it',
    })
    .register(keyInfo, { meaning: 'Strict-Transport-Security', expected: 'none or a map', type: '`none`, map' })
    .prefault({}),
  csp: text(
    'Content-Security-Policy; must allow blob: workers and must not allow unsafe-eval',
    { expected: "a policy with worker-src 'self' blob: and without 'unsafe-eval'", fix: 'correct the policy' },
    policyProblem,
  ).default("default-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"),
}).prefault({});

/** `limits` of settings.yaml. */
export const limits = section('Bounds of one worker', {
  header_bytes: size('Request line and headers together', '4KiB', '256KiB').default('32KiB'),
  target_bytes: size('Request target', '256B', '64KiB').default('8KiB'),
  body_bytes: size('Request body of proxied routes that set no max_body', '0B', '100GiB').default('10MiB'),
  connections: integer('Open connections', 1, 1_000_000).default(20_000),
  requests_in_flight: integer('Unanswered requests; above: 503 overloaded', 1, 1_000_000).default(10_000),
  websockets_per_session: integer('Open WebSockets of one session', 1, 10_000).default(20),
  pending_store_reads: integer('Store reads that wait', 1, 1_000_000).default(20_000),
}).prefault({});

/** `shutdown` of settings.yaml. */
export const shutdown = section('Graceful end on SIGTERM', {
  unready: duration('How long /readyz answers 503 before the listener closes', '0s', '10m').default('5s'),
  drain: duration('Longest wait for requests in flight', '0s', '1h').default('25s'),
}).prefault({});

const pair = {
  average: integer('Requests per period', 1, 1_000_000),
  period: duration('Length of the period', '1s', '1d'),
  burst: integer('At once', 1, 1_000_000),
};

/** A rate limit without a key. */
export const rateLimit = section('Rate limit', pair);
/** A rate limit with the thing that is counted. */
export const keyedRateLimit = section('Rate limit', {
  ...pair,
  key: choice('What is counted', ['client_ip', 'session', 'user']),
});

const SHARED_SECRET_CHARS_MIN = 16;

/** `verify.shared_secret` of settings.yaml. */
export const sharedSecret = secret(
  'The gateway must send it as X-Sallyport-Secret',
  `at least ${SHARED_SECRET_CHARS_MIN} characters of visible ASCII`,
  'choose another secret',
  (value) => {
    if (!isVisible(value)) return '{value} cannot stand in a header';
    return value.length < SHARED_SECRET_CHARS_MIN ? '{value} is too short' : undefined;
  },
)
  .nullable()
  .default(null);
