import * as z from 'zod';
import { allowedOrigin, fileName, localTarget, mailDomains, plain, words } from './leaves.ts';
import { choice, duration, flag, integer, keyInfo, list, secret, section, size, text } from './scalars.ts';
import { sealKeyProblem } from './seal-key.ts';
import { cookieKeys, keyedRateLimit } from './settings-http.ts';
import { endpointProblem } from './web.ts';

/** `keys` of settings.yaml. */
export const keys = section('Server keys', {
  seal: list(
    'Keys that seal sessions; the first one writes, all of them read',
    section('One key', {
      id: text(
        'Names the key inside the sealed bytes',
        { expected: 'at most 16 letters, digits, - and _', fix: 'choose such a name' },
        (value) => {
          return /^[A-Za-z0-9_-]{1,16}$/.test(value) ? undefined : '{value} is not a key id';
        },
      ),
      secret: secret(
        '32 random bytes in base64url, from `sallyport keygen`',
        '32 random bytes in base64url',
        'make one with "sallyport keygen"',
        sealKeyProblem,
      ),
    }),
    { min: 1, max: 16 },
  ),
  signing: list(
    'Keys of /auth/jwks.json; the first one signs where no kid is named',
    section('One key', {
      kid: plain('Its `kid`'),
      alg: choice('Its algorithm', ['ES256', 'ES384', 'ES512', 'EdDSA', 'PS256', 'RS256']),
      private_key: secret('Private key, PEM or JWK, e.g. ${file:/run/secrets/signing_key.pem}'),
    }),
    { min: 1, max: 16 },
  ).optional(),
});

const ip = z.union(
  [
    choice('', ['none']),
    section('', { v4: integer('IPv4 prefix length', 0, 32), v6: integer('IPv6 prefix length', 0, 128) }),
  ],
  { error: () => '{value} is not valid, expected none or {v4: 24, v6: 56}, correct it' },
);

/** `session` of settings.yaml. */
export const session = section('Sessions', {
  idle: duration('Ends without activity', '1m', '30d').default('30m'),
  absolute: duration('Ends in any case', '1m', '400d').default('12h'),
  max_per_user: integer('Sessions of one user; the oldest ends. 0 = no bound', 0, 10_000).default(20),
  cookie: section('The session cookie', {
    name: cookieKeys.name.default('bff_session'),
    same_site: cookieKeys.same_site.default('lax'),
    persistent: cookieKeys.persistent.default(false),
    partitioned: cookieKeys.partitioned.default(false),
  }).prefault({}),
  binding: section('What a session is tied to', {
    client_certificate: choice('Client certificate of the gateway', ['none', 'thumbprint']).default('none'),
    user_agent: choice('Browser family', ['none', 'family']).default('none'),
    ip: ip
      .default('none')
      .register(keyInfo, { meaning: 'Address prefix', expected: 'none or prefix lengths', type: '`none`, map' }),
  }).prefault({}),
  session_check_slides: flag('/api/auth/session extends idle, unless slide=false').default(true),
  exposed_claims: words('Claims that /api/auth/session shows').default([
    'sub',
    'name',
    'preferred_username',
    'email',
    'picture',
  ]),
}).prefault({});

const serverUrl = text('One URL', { expected: 'redis:// or rediss:// URL', fix: 'correct the URL', secret: true });

const redis = section('Redis or Valkey', {
  mode: choice('How the servers form the store', ['single', 'sentinel', 'cluster']).default('single'),
  url: text('redis:// or rediss:// URL; empty = the memory store, with a warning', {
    expected: 'redis://[user:password@]host[:port][/db] or rediss://…',
    fix: 'correct the URL',
    secret: true,
  }).optional(),
  seed_urls: list('First servers of a cluster, with mode: cluster', serverUrl, {
    separator: 'comma',
    min: 1,
  }).optional(),
  sentinels: section('Sentinels, with mode: sentinel', {
    master: plain('Name of the master'),
    urls: list('Sentinels', serverUrl, { separator: 'comma', min: 1 }),
  }).optional(),
  key_prefix: text(
    'Begins every key',
    { expected: 'at most 32 letters, digits and :._-', fix: 'choose such a prefix' },
    (value) => {
      return /^[A-Za-z0-9:._-]{1,32}$/.test(value) ? undefined : '{value} is not a key prefix';
    },
  ).default('sp:'),
  connect_timeout: duration('Deadline of connecting', '10ms', '1m').default('2s'),
  command_timeout: duration('Deadline of a command', '10ms', '1m').default('250ms'),
  wait_replicas: section('WAIT after logout, revocation and rotated refresh tokens', {
    count: integer('Replicas that must have it; 0 = do not wait', 0, 16).default(0),
    timeout: duration('Longest wait', '1ms', '10s').default('100ms'),
  }).prefault({}),
  username: plain('ACL user, where the URL has none').optional(),
  password: secret('Password, where the URL has none').optional(),
  tls: section('TLS of rediss://', {
    ca_file: fileName('Certificates of the CA, PEM').optional(),
    cert_file: fileName('Client certificate, PEM').optional(),
    key_file: fileName('Its private key, PEM').optional(),
    server_name: plain('Name the certificate must have').optional(),
  }).optional(),
}).prefault({});

/** `store` of settings.yaml. */
export const store = section('Where sessions live', {
  kind: choice('memory: one process, lost at its end; redis: Redis or Valkey', ['memory', 'redis']).default('memory'),
  redis,
  l1: section('Cache of decoded sessions in the process', {
    mode: choice('Kept coherent by CLIENT TRACKING, or no cache', ['tracking', 'none']).default('tracking'),
    max_entries: integer('Sessions kept', 1, 10_000_000).default(100_000),
    max_bytes: size('Bytes kept', '1MiB', '64GiB').default('256MiB'),
    heartbeat: duration(
      'PING of the invalidation channel; a session that ended is honoured for at most two of them if the channel breaks',
      '100ms',
      '1m',
    ).default('1s'),
  }).prefault({}),
  serve_stale: duration('Sessions seen within this time are honoured while the store is down', '0s', '1h').default(
    '0s',
  ),
  retry_after: duration('Retry-After while the store is down', '1s', '10m').default('2s'),
}).prefault({});

/** `refresh` of settings.yaml. */
export const refresh = section('Refresh of access tokens', {
  lead: duration('Renew so long before the end, at most half of the life of the token', '0s', '1h').default('60s'),
  jitter: duration('Spread of that time', '0s', '1h').default('15s'),
  wait_max: duration('Longest a request waits', '0s', '1m').default('3s'),
  backoff: section('Pause after failures', {
    first: duration('First pause; each further one is twice as long', '100ms', '10m').default('2s'),
    max: duration('Longest pause', '100ms', '1h').default('60s'),
  }).prefault({}),
}).prefault({});

/** `login` of settings.yaml. */
export const login = section('Sign in', {
  transaction_ttl: duration('Time to finish a login', '30s', '10m').default('10m'),
  max_concurrent: integer('Logins in progress in one browser; the oldest ends', 1, 5).default(5),
  return_to: section('Where a login may end', {
    default: localTarget('Target without return_to').default('/'),
    origins: list('Further origins besides those of the site', allowedOrigin('One origin'), {
      separator: 'comma',
    }).default([]),
  }).prefault({}),
  loop: section('Stops sign-in loops', {
    max_logins: integer('Logins within the window', 1, 100).default(3),
    window: duration('The window', '1s', '1h').default('60s'),
  }).prefault({}),
  allow: section('Who may have a session; empty = everybody the provider vouches for', {
    email_domains: mailDomains('Domains of verified e-mail addresses').default([]),
    groups: words('Groups; one suffices').default([]),
    roles: words('Roles; one suffices').default([]),
  }).prefault({}),
  rate_limit: keyedRateLimit.optional(),
}).prefault({});

/** `logout` of settings.yaml. */
export const logout = section('Sign out', {
  post_logout_redirect_uri: text(
    'default = <public_url><auth>/login',
    { expected: 'default or an https URL', fix: 'correct the URL' },
    (value) => (value === 'default' ? undefined : endpointProblem(value, true)),
  ).default('default'),
  revoke_tokens: flag('Revoke tokens at the provider (RFC 7009)').default(true),
  backchannel: flag('OIDC Back-Channel Logout').default(true),
  frontchannel: flag('OIDC Front-Channel Logout').default(false),
}).prefault({});
