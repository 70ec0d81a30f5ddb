import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { inspect } from 'node:util';
import type { RedisSettings } from '../../src/core/config/types-store.ts';
import type { SallyportError } from '../../src/core/errors.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { creationAt, hasCode, newKey } from '../contract/session-store-behaviours.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { createCertificates, type TestCertificates } from '../support/redis-tls.ts';
import { until } from '../support/until.ts';

const NOW = Date.now();

const OPTIONS = { timeout: 60_000, skip: skipWithout('redis-server', 'openssl') };

describe('Redis store when its server does not trust it, or it does not trust its server', OPTIONS, () => {
  let certificates: TestCertificates;
  let foreign: TestCertificates;
  let secured: TestRedis;
  let withAcl: TestRedis;

  before(async () => {
    [certificates, foreign] = await Promise.all([createCertificates(), createCertificates()]);
    secured = await startRedis({ tls: certificates });
    withAcl = await startRedis({ acl: ['admin on >admin-secret ~* &* +@all', 'sallyport on >right ~sp:* +@all'] });
  });
  after(async () => {
    await Promise.all([secured.remove(), withAcl.remove()]);
    await Promise.all([certificates.remove(), foreign.remove()]);
  });

  test('a wrong password is an outage that names no secret and ends when the server accepts it', async () => {
    const settings = withAcl.settings({ username: 'sallyport', password: 'pass-that-is-wrong' });
    const faults: SallyportError[] = [];
    const store = createValkeyStore({ redis: settings, onError: (error) => faults.push(error) });
    await until(async () => faults.length > 0, 'a fault is reported');
    assert.equal(faults[0]?.detail, `redis 127.0.0.1:${withAcl.port}: WRONGPASS`);
    const failure = await store.readHot(newKey(), NOW).catch((error: unknown) => error);
    assert.ok(hasCode('store_unavailable')(failure));
    assert.doesNotMatch(inspect([failure, faults], { depth: null, showHidden: true }), /pass-that-is-wrong/);
    const admin = withAcl.connect({ username: 'admin', password: 'admin-secret' });
    await admin.acl('SETUSER', 'sallyport', '>pass-that-is-wrong');
    await whenReachable(store);
    assert.equal(await store.readHot(newKey(), NOW), undefined);
    admin.disconnect();
    await store.close();
  });

  test('a refused command is an outage, and its error holds nothing of what was to be written', async () => {
    const admin = withAcl.connect({ username: 'admin', password: 'admin-secret' });
    await admin.acl('SETUSER', 'reader', 'on', '>right', '~sp:*', '+ping', '+hmget');
    const store = createValkeyStore({ redis: withAcl.settings({ username: 'reader', password: 'right' }) });
    await whenReachable(store);
    const creation = creationAt(NOW, { hot: Buffer.from('sealed-hot-part') });
    const failure = await store.create(creation).catch((error: unknown) => error);
    assert.ok(hasCode('store_unavailable')(failure));
    assert.match((failure as SallyportError).message, /: NOPERM$/);
    const shown = inspect(failure, { depth: null, showHidden: true });
    assert.ok(!shown.includes('sealed-hot-part') && !shown.includes(creation.locator), shown);
    assert.equal(await store.readHot(creation.locator, NOW), undefined);
    admin.disconnect();
    await store.close();
  });

  test('no password where one is needed is an outage', async () => {
    assert.equal(await firstFault(withAcl.settings()), 'NOAUTH');
  });

  test('a server certificate of another authority is refused', async () => {
    const { clientCert: cert, clientKey: key } = certificates;
    const tls = { ca: foreign.ca, cert, key, serverName: undefined };
    assert.match(await firstFault(secured.settings({ tls })), /^(UNABLE_TO|SELF_SIGNED|CERT_)/);
    const withoutCa = await firstFault(secured.settings({ tls: { ...tls, ca: undefined } }));
    assert.match(withoutCa, /^(UNABLE_TO|SELF_SIGNED|CERT_)/);
  });

  test('a server certificate for another name is refused, one for the configured name is not', async () => {
    const { ca, clientCert: cert, clientKey: key } = certificates;
    const tls = { ca, cert, key };
    const misnamed = secured.settings({ tls: { ...tls, serverName: 'other.test' } });
    assert.equal(await firstFault(misnamed), 'ERR_TLS_CERT_ALTNAME_INVALID');
    const store = createValkeyStore({ redis: secured.settings({ tls: { ...tls, serverName: 'redis.test' } }) });
    await whenReachable(store);
    await store.ping();
    await store.close();
  });

  test('without the client certificate that the server asks for there is no connection', async () => {
    const tls = { ca: certificates.ca, cert: undefined, key: undefined, serverName: undefined };
    assert.match(await firstFault(secured.settings({ tls })), /^ERR_SSL|ECONNRESET|connection_closed/);
  });
});

/** The first fault that a store with these settings reports; it must not become reachable before. */
async function firstFault(redis: RedisSettings): Promise<string> {
  const faults: SallyportError[] = [];
  const store = createValkeyStore({ redis, onError: (error) => faults.push(error) });
  try {
    await until(async () => faults.length > 0 || store.status().reachable, 'an outcome');
    assert.deepEqual(store.status(), { reachable: false, reachedOnce: false, unreplicated: 0 });
    return faults[0]?.detail?.split(': ').at(-1) ?? '';
  } finally {
    await store.close();
  }
}
