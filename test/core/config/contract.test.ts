import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { loadConfig } from '../../../src/core/config/load.ts';
import { problemLines, SEAL_KEY, type Sources } from './support.ts';

const ROOT = join(import.meta.dirname, '../../..');
const SIGNING_KEY = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
});
const OTHER_KEY = '5pW8hLr0mQ2yCv7NdKxJ4tZbAqE9oGfUs1uHiYTgR3M';

/** The contract with every key that was ever decided, in an environment where all its references resolve. */
function contract(): Sources {
  const read = (name: string): string => readFileSync(join(ROOT, 'test/fixtures/contract', name), 'utf8');
  return {
    settings: read('settings.yaml'),
    idps: read('idps.yaml'),
    routes: read('routes.yaml'),
    pdp: read('pdp.yaml'),
    files: {
      '/run/secrets/seal_key_previous': `${OTHER_KEY}\n`,
      '/run/secrets/signing_key.pem': SIGNING_KEY,
      '/run/secrets/pdp_token': 'a token',
      '/run/secrets/verify.crt': readFileSync(join(ROOT, 'test/fixtures/tls/cert.pem')),
      '/run/secrets/verify.key': readFileSync(join(ROOT, 'test/fixtures/tls/key.pem')),
    },
    environment: {
      SALLYPORT_PUBLIC_URL: 'https://app.example.com',
      SALLYPORT_SEAL_KEY: SEAL_KEY,
      OIDC_ISSUER: 'https://id.example.com',
      OIDC_CLIENT_ID: 'sallyport',
      OIDC_CLIENT_SECRET: 'a-client-secret-of-some-length',
      REDIS_URL: 'rediss://redis:6379',
    },
  };
}

const REFUSED = `
routes.yaml:64:5 routes[0].pdp
routes.yaml:73:5 routes[1].pdp
pdp.yaml:4:1 points
pdp.yaml:13:1 policies
`;

describe('the configuration contract', () => {
  test('is understood whole: what is refused is exactly what this version does not have', () => {
    const lines = problemLines(contract());
    const [wheres, reasons] = [
      lines.map((line) => line.split(': ')[0]),
      lines.map((line) => line.split(': ')[1] ?? ''),
    ];
    assert.deepEqual(wheres, REFUSED.trim().split('\n'));
    assert.ok(reasons.every((reason) => /^not available in this version, expected .*$/.test(reason)));
    assert.ok(lines.every((line) => line.endsWith(', remove the line')));
  });
});

describe('the shipped configuration', () => {
  const six = {
    SALLYPORT_PUBLIC_URL: 'https://app.example.com',
    OIDC_ISSUER: 'https://id.example.com',
    OIDC_CLIENT_ID: 'sallyport',
    OIDC_CLIENT_SECRET: 'a-client-secret-of-some-length',
    REDIS_URL: 'rediss://:pass%40word@redis/3',
    SALLYPORT_SEAL_KEY: SEAL_KEY,
  };
  const shipped = (environment: Record<string, string>) => loadConfig({ directory: join(ROOT, 'config'), environment });

  test('needs the six settings and nothing else', () => {
    const config = shipped(six);
    assert.deepEqual(config.warnings, []);
    assert.equal(config.sites[0]?.publicUrl, 'https://app.example.com');
    assert.deepEqual(config.listen, {
      public: { address: '0.0.0.0', port: 8080 },
      verify: undefined,
      verifyH2: undefined,
      admin: { address: '127.0.0.1', port: 9090 },
    });
    assert.deepEqual(config.trustedProxies, []);
    assert.deepEqual(config.idps[0]?.clientAuth, { method: 'client_secret_basic', secret: six.OIDC_CLIENT_SECRET });
    assert.ok(config.store.kind === 'redis');
    const { host, port, db, password, tls } = config.store.redis;
    assert.deepEqual({ host, port, db, password }, { host: 'redis', port: 6379, db: 3, password: 'pass@word' });
    assert.deepEqual(tls, { ca: undefined, cert: undefined, key: undefined, serverName: undefined });
  });

  test('takes port, gateways, scopes, origins and cookie name from the environment', () => {
    const config = shipped({
      ...six,
      SALLYPORT_PORT: '8443',
      SALLYPORT_TRUSTED_PROXIES: 'loopback, 10.1.2.3/8,fd00::1',
      OIDC_SCOPES: 'openid  email',
      CORS_ALLOW_ORIGINS: 'https://spa.example.com,http://localhost:3000',
      SID_COOKIE: 'sid',
    });
    assert.equal(config.listen.public.port, 8443);
    assert.deepEqual(config.trustedProxies, ['127.0.0.0/8', '::1/128', '10.0.0.0/8', 'fd00::1/128']);
    assert.deepEqual(config.idps[0]?.scopes, ['openid', 'email']);
    assert.deepEqual(config.sites[0]?.origins, ['https://spa.example.com', 'http://localhost:3000']);
    assert.equal(config.sites[0]?.cookie.name, 'sid');
  });

  for (const [name, environment] of [
    ['empty', { ...six, REDIS_URL: '' }],
    ['absent', Object.fromEntries(Object.entries(six).filter(([key]) => key !== 'REDIS_URL'))],
  ] as const) {
    test(`uses the memory store, with a warning, when REDIS_URL is ${name}`, () => {
      const config = shipped(environment);
      assert.equal(config.store.kind, 'memory');
      const warning = 'settings.yaml:31:5 store.redis.url: empty: sessions live in memory and end with the process';
      assert.deepEqual(config.warnings, [warning]);
    });
  }

  test('is a public client, with a warning, when the client secret is empty', () => {
    const config = shipped({ ...six, OIDC_CLIENT_SECRET: '' });
    assert.deepEqual(config.idps[0]?.clientAuth, { method: 'none' });
    assert.equal(config.warnings.length, 1);
    assert.match(
      config.warnings[0] ?? '',
      /^idps\.yaml:9:7 providers\.main\.client_auth\.secret: empty: this is a public/,
    );
  });
});
