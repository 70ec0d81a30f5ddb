import { acrValues, addresses, fileName, host, name, origin, ownPath, plain, scopes, words } from './leaves.ts';
import { expandRoutePath } from './route-path.ts';
import { choice, duration, flag, integer, list, named, section, size, text } from './scalars.ts';
import { keyedRateLimit } from './settings-http.ts';
import { version } from './version.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const;

const timeouts = {
  connect: duration('Connecting', '10ms', '5m').default('2s'),
  headers: duration('Until the headers of the answer', '10ms', '1h').default('15s'),
  body_idle: duration('Silence within a body', '10ms', '1h').default('60s'),
  total: duration(
    'The whole request, to the last byte of its answer; without it there is no such limit',
    '10ms',
    '24h',
  ),
};

const service = section('One service', {
  urls: list('Origins of its servers', origin('One origin', true), { separator: 'comma', min: 1, max: 64 }),
  audience: plain('Audience its tokens must have').optional(),
  scopes: scopes('Scopes asked for').optional(),
  require_any: scopes('Accepted tokens have one of these').optional(),
  require_all: scopes('Accepted tokens have all of these').optional(),
  token: section('How its token is obtained', {
    source: choice('exchange: RFC 8693; refresh: with RFC 8707 resource; session: the user’s own; none: no token', [
      'exchange',
      'refresh',
      'client_credentials',
      'session',
      'none',
    ]).default('none'),
    eager: flag('Obtain it at login').default(false),
    idp: name('Provider for client_credentials; default: the default one').optional(),
  }).prefault({}),
  timeouts: section('Deadlines', { ...timeouts, total: timeouts.total.optional() }).prefault({}),
  pool: section('Connections', {
    connections: integer('Open at once to each address', 1, 10_000).default(64),
    queue: integer('Requests that wait for one', 0, 100_000).default(1024),
  }).prefault({}),
  health: section('Passive health of each address', {
    failures: integer('Failures in a row until it gets no more requests', 1, 1000),
    eject: duration('Then a single request tries it again', '100ms', '1h'),
  }).optional(),
  retries: integer('Further tries of idempotent requests that sent nothing', 0, 5).default(0),
  tls: section('TLS of https origins', {
    ca_file: fileName('Certificates of the CA, PEM').optional(),
    cert_file: fileName('Client certificate, PEM').optional(),
    key_file: fileName('Its private key, PEM').optional(),
    server_name: plain('Name the certificate must have').optional(),
    insecure: flag('Do not check the certificate').default(false),
  }).optional(),
});

const auth = choice('Who may pass: session, bearer token, any of both; optional: anonymous without; none: everybody', [
  'session',
  'bearer',
  'any',
  'optional',
  'none',
]);
const csrf = choice('Proof needed: unsafe methods with a cookie, every method, or never', ['unsafe', 'all', 'none']);
const onUnauthenticated = choice('auto: 302 for navigations, else 401', ['auto', '401', 'login']);
const pathMode = choice('strict: ambiguous paths are refused; opaque: whole-host verify rules only', [
  'strict',
  'opaque',
]);
const cacheControl = choice('Cache-Control of answers: ours, or that of the service', ['no-store', 'upstream']);
const maxBody = size('Largest request body', '0B', '100GiB');

const defaults = section('For every route that does not say otherwise', {
  auth: auth.default('session'),
  csrf: csrf.default('unsafe'),
  on_unauthenticated: onUnauthenticated.default('auto'),
  path_mode: pathMode.default('strict'),
  identity_headers: flag('Send identity headers to the service').default(true),
  cache_control: cacheControl.default('no-store'),
  max_body: maxBody.optional(),
}).prefault({});

const routePath = text(
  'One path',
  { expected: 'literals, {a,b}, :name, and a final /*', fix: 'correct the path' },
  (value) => {
    const result = expandRoutePath(value);
    return 'problem' in result ? result.problem : undefined;
  },
);

const route = section('One route', {
  id: text(
    'Appears in logs and metrics; unique',
    { expected: 'letters, digits, . - and _, at most 64', fix: 'choose such an id' },
    (value) => {
      return /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value) ? undefined : '{value} is not an id';
    },
  ),
  hosts: list('Hosts; without it every host of the sites', host('One host'), { separator: 'comma', min: 1 }).optional(),
  paths: list('Literals, {a,b} alternatives, :name one segment, final /* = the path and everything below', routePath, {
    min: 1,
    max: 256,
  }),
  methods: list('Methods; without it every one', choice('One method', METHODS), {
    separator: 'comma',
    min: 1,
  }).optional(),
  target_service: name('Service; without it the route exists for verify only').optional(),
  auth: auth.optional(),
  csrf: csrf.optional(),
  on_unauthenticated: onUnauthenticated.optional(),
  path_mode: pathMode.optional(),
  roles: words('One of these roles', { min: 1 }).optional(),
  groups: words('One of these groups', { min: 1 }).optional(),
  scopes: scopes('All of these scopes', { min: 1 }).optional(),
  allow_ips: addresses('Client addresses that may pass', { min: 1 }).optional(),
  step_up: section('A stronger or fresher sign-in', {
    acr: acrValues('One of these authentication classes').optional(),
    max_age: duration('Age of the sign-in at most', '1s', '400d').optional(),
  }).optional(),
  pdp: name('Policy of pdp.yaml').optional(),
  rate_limit: keyedRateLimit.optional(),
  identity_headers: flag('Send identity headers to the service').optional(),
  cache_control: cacheControl.optional(),
  max_body: maxBody.optional(),
  timeouts: section('Deadlines of this route', {
    connect: timeouts.connect.optional(),
    headers: timeouts.headers.optional(),
    body_idle: timeouts.body_idle.optional(),
    total: timeouts.total.optional(),
  }).optional(),
  rewrite: section('Replaces the beginning of the path', {
    prefix: ownPath('Beginning of every path of this route', true),
    to: ownPath('What the service sees instead', true),
  }).optional(),
  strip_prefix: ownPath('Beginning that the service does not see').optional(),
  public: list(
    'Addresses below this route that need no session',
    section('One address', { method: choice('Exact method', METHODS), path: ownPath('Exact canonical path', true) }),
    { min: 1 },
  ).optional(),
  websocket: section('WebSocket route', {
    subprotocols: words('Accepted subprotocols').default([]),
    max_message: size('Largest message', '1KiB', '64MiB').default('1MiB'),
    idle: duration('Silence, pings unanswered too, until the socket is closed', '8s', '16m').default('120s'),
    token_in: text(
      'Where the service reads its token',
      { expected: 'authorization or cookie:NAME', fix: 'choose one' },
      (value) => {
        return /^(?:authorization|cookie:[\w-]+)$/.test(value) ? undefined : '{value} is not a choice';
      },
    ).default('authorization'),
    counts_as_activity: flag('Messages extend the session').default(false),
  }).optional(),
});

/** routes.yaml: services and routes. */
export const routesSchema = section('Services and routes', {
  version,
  services: named('What the proxy sends requests to', service).default({}),
  require_authorization: flag('true: a route with neither rule nor pdp stops the start').default(false),
  defaults,
  routes: list('Routes; the most specific one wins', route, { max: 5000 }).default([]),
});
