import * as z from 'zod';
import { acrValues, fileName, headerName, name, pointer, scopes, words } from './leaves.ts';
import { choice, duration, flag, fraction, integer, keyInfo, named, section, size, text } from './scalars.ts';
import { directAccessGrant, spaCallback, tokenCookies } from './settings-compat.ts';
import {
  cors,
  csrf,
  keyedRateLimit,
  limits,
  listen,
  paths,
  securityHeaders,
  sharedSecret,
  shutdown,
  sites,
  trustedProxies,
} from './settings-http.ts';
import { keys, login, logout, refresh, session, store } from './settings-session.ts';
import { version } from './version.ts';

const workers = z
  .union([integer('', 1, 1024), z.literal('auto')], {
    error: () => '{value} is not a number of workers, expected a whole number from 1 to 1024, or auto, correct it',
  })
  .register(keyInfo, {
    meaning: 'Processes on one port; auto = CPUs of the cgroup',
    expected: 'a number or auto',
    type: 'whole number, `auto`',
  });

const onFail = choice('Answer to the signed out: 302 for navigations and 401 otherwise, or always one', [
  'auto',
  '401',
  '302',
]);

const verify = section('ForwardAuth', {
  gateway: choice('The one header family that is read', [
    'traefik',
    'nginx',
    'ingress-nginx',
    'caddy',
    'envoy',
    'haproxy',
  ]).default('traefik'),
  shared_secret: sharedSecret,
  unmatched: choice('An original URL that no route matches', ['session', 'deny']).default('session'),
  on_fail: onFail.default('auto'),
  csrf: choice('Check of unsafe requests', ['none', 'origin', 'proof']).default('origin'),
  expired_token: choice('Token expired and provider away', ['omit', 'unavailable']).default('omit'),
  profiles: named(
    'Named sets of options, /auth/verify?profile=NAME',
    section('One profile', {
      roles: words('One of these roles', { min: 1 }).optional(),
      groups: words('One of these groups', { min: 1 }).optional(),
      scopes: scopes('All of these scopes', { min: 1 }).optional(),
      acr: acrValues('One of these authentication classes').optional(),
      max_age: duration('Age of the sign-in at most', '1s', '400d').optional(),
      on_fail: onFail.optional(),
      service: name('Token of this service').optional(),
    }),
  ).default({}),
}).prefault({});

const identityHeaders = named(
  'Name → value; every header is always sent, empty where nothing is known',
  section('Exactly one of token, principal, session, claim', {
    token: choice('Token of the matched service, else of the session', ['matched']).optional(),
    raw: flag('With token: without "Bearer "').optional(),
    principal: choice('Field of the principal', [
      'user_id',
      'username',
      'email',
      'email_verified',
      'name',
      'roles',
      'groups',
      'issuer',
    ]).optional(),
    session: choice('Fact about the session', ['public_id', 'idp', 'acr', 'auth_time']).optional(),
    claim: pointer('Claim of the ID token').optional(),
    pick: choice('Of a list: the first', ['first']).optional(),
    join: text(
      'Of a list: all, with this between',
      { expected: 'one to three visible characters', fix: 'write for example ","' },
      (value) => {
        return /^[\x20-\x7e]{1,3}$/.test(value) ? undefined : '{value} cannot stand between items';
      },
    ).optional(),
  }),
  /^(?!_)[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$/,
  'a header name: letters, digits and -, at most 64',
).default({
  Authorization: { token: 'matched' },
  'X-User-Id': { principal: 'user_id' },
  'X-User-Username': { principal: 'username' },
  'X-User-Email': { principal: 'email' },
  'X-User-Role': { principal: 'roles', pick: 'first' },
  'X-User-Roles': { principal: 'roles', join: ',' },
  'X-Auth-Session': { session: 'public_id' },
});

/** settings.yaml: the service itself. */
export const settingsSchema = section('The service itself', {
  version,
  sites,
  paths,
  listen,
  workers: workers.default(1),
  scheduling: choice('batch: SCHED_BATCH, cheaper beside a gateway on the same cores', ['normal', 'batch']).default(
    'normal',
  ),
  trusted_proxies: trustedProxies,
  insecure_http: flag('Cookies without Secure; only with loopback public URLs').default(false),
  keys,
  session,
  store,
  refresh,
  login,
  logout,
  verify,
  identity_headers: identityHeaders,
  identity_assertion: section('Signed assertion of the identity', {
    enabled: flag('Send it').default(false),
    header: headerName('Its header').default('X-Auth-Assertion'),
    ttl: duration('Its life', '1s', '1h').default('60s'),
  }).optional(),
  csrf,
  cors,
  security_headers: securityHeaders,
  limits,
  shutdown,
  token_cookies: tokenCookies,
  direct_access_grant: directAccessGrant,
  spa_callback: spaCallback,
  telemetry_sink: section('Sink for numbers of the front end', {
    enabled: flag('Accept them').default(false),
    body_bytes: size('Largest body', '1KiB', '1MiB').default('16KiB'),
    rate_limit: keyedRateLimit.default({ average: 60, period: '1m', burst: 20, key: 'client_ip' }),
    names: words('Names that are accepted; empty = any').default([]),
    label_values_max: integer('Different values of one label; further ones count as `other`', 1, 10_000).default(50),
  }).optional(),
  log: section('Log', {
    level: choice('Least level', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    access: choice('Access lines', ['none', 'sampled', 'all']).default('none'),
    denied_per_second: integer('Lines for refusals, per code; the rest is counted', 0, 100_000).default(50),
  }).prefault({}),
  metrics: section('Prometheus', { enabled: flag('Serve /metrics on listen.admin').default(true) }).prefault({}),
  tracing: section('OpenTelemetry', {
    enabled: flag('Export spans').default(false),
    endpoint: text('OTLP endpoint').default(''),
    sample_ratio: fraction('Share of requests', 0, 1).default(0.01),
  }).optional(),
  pages: section('Own HTML templates', {
    directory: fileName('Directory of the templates').nullable().default(null),
  }).optional(),
});

/** Parsed settings.yaml. */
export type Settings = z.output<typeof settingsSchema>;
