// The whole sign-in over a real Redis, plain and with TLS; what a copy of the store reveals; what an outage does.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import { skipWithout } from '../support/parts.ts';
import { fetchWithJar } from '../support/provider.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { createCertificates } from '../support/redis-tls.ts';
import { startSignInWorld } from '../support/signed-in.ts';
import { until } from '../support/until.ts';

describe('sessions in a real Redis', { skip: skipWithout('redis-server', 'openssl') }, () => {
  test('redis://: sign in, verify, session information, sign out everywhere; the store tells nothing', async () => {
    const redis = await startRedis();
    try {
      await walk(redis, { kind: 'redis', redis: { url: redis.url } });
    } finally {
      await redis.remove();
    }
  });

  test('rediss:// with an own CA and a client certificate: the same', async () => {
    const certificates = await createCertificates();
    const redis = await startRedis({ tls: certificates });
    const at = (name: string): string => `${certificates.directory}/${name}`;
    try {
      await walk(redis, {
        kind: 'redis',
        redis: {
          url: `rediss://127.0.0.1:${redis.port}`,
          tls: { ca_file: at('ca.pem'), cert_file: at('client.pem'), key_file: at('client.key') },
        },
      });
    } finally {
      await redis.remove();
      await certificates.remove();
    }
  });

  test('Redis stopped while running: 503 with Retry-After, cookie kept, ready; sessions live on when it returns', async () => {
    const redis = await startRedis({ persist: true });
    const world = await startSignInWorld({
      settings: { store: { kind: 'redis', redis: { url: redis.url } } },
      expectedErrors: ['store_unavailable'],
    }).catch(async (error: unknown) => {
      await redis.remove();
      throw error;
    });
    try {
      const jar = await world.signIn('alice');
      assert.equal((await world.verify(jar)).status, 200);
      await redis.stop();
      await until(async () => (await world.verify(jar)).status === 503, 'verify notices the outage');
      const refused = await world.verify(jar, { headers: { accept: 'application/json', origin: world.base } });
      assert.equal(refused.status, 503);
      assert.match(refused.headers.get('retry-after') ?? '', /^[1-9][0-9]*$/);
      assert.equal(refused.headers.get('access-control-allow-origin'), world.base, 'a script may read the outage');
      assert.equal(refused.headers.get('set-cookie'), null, 'an outage is no logout');
      assert.equal(((await refused.json()) as { code: string }).code, 'store_unavailable');
      assert.equal((await fetchWithJar(jar, `${world.base}/api/auth/session`)).status, 503);
      const logout = await fetchWithJar(jar, `${world.base}/auth/logout`, {
        method: 'POST',
        headers: { origin: world.base },
      });
      assert.equal(logout.status, 503, 'a sign-out that cannot be done is not pretended');
      assert.equal(logout.headers.get('set-cookie'), null);
      const ready = await fetch(`${world.base}/readyz`);
      assert.equal(ready.status, 200, 'an outage after the start leaves the process ready (D-43)');
      assert.equal(((await ready.json()) as { store: string }).store, 'unreachable');
      await redis.start();
      await until(async () => (await world.verify(jar)).status === 200, 'the same session is back', 15_000);
    } finally {
      await world.close();
      await redis.remove();
    }
  });

  test('Redis down at the start: the server starts all the same, and people can sign in once Redis is there', async () => {
    const redis = await startRedis();
    await redis.stop();
    const starting = startSignInWorld({
      settings: { store: { kind: 'redis', redis: { url: redis.url } } },
      expectedErrors: ['store_unavailable'],
    });
    await new Promise((resolve) => setTimeout(resolve, 300));
    const [world] = await Promise.all([starting, redis.start()]).catch(async (error: unknown) => {
      await redis.remove();
      throw error;
    });
    const { close, signIn, verify } = world;
    try {
      assert.equal((await verify(await signIn('bob'))).status, 200);
    } finally {
      await close();
      await redis.remove();
    }
  });
});

async function walk(redis: TestRedis, store: object): Promise<void> {
  const world = await startSignInWorld({ settings: { store } });
  const client = redis.connect();
  try {
    const [first, second] = [await world.signIn('alice'), await world.signIn('alice', '/deep?link=1')];
    for (const jar of [first, second]) {
      const allowed = await world.verify(jar);
      assert.equal(allowed.status, 200);
      assert.equal(allowed.headers.get('x-user-username'), 'alice');
    }
    const info = (await (await fetchWithJar(first, `${world.base}/api/auth/session`)).json()) as Record<
      string,
      unknown
    >;
    assert.equal(info['authenticated'], true);
    const handles = [first, second].map((jar) => jar.cookies.get('bff_session') ?? '');
    await assertStoreTellsNothing(client, world.issued, handles);
    const logout = await fetchWithJar(first, `${world.base}/auth/logout?everywhere=true`, {
      method: 'POST',
      headers: { origin: world.base, accept: 'application/json' },
    });
    assert.equal(logout.status, 200);
    for (const handle of handles) {
      const jar = { cookies: new Map([['bff_session', handle]]) };
      assert.equal((await world.verify(jar)).status, 401, 'signed out everywhere');
    }
    assert.deepEqual(await client.keys('sp:s:*'), [], 'no session is left');
  } finally {
    client.disconnect();
    await world.close();
  }
}

/** Dump every key and value: no handle, no token, no user, in the clear or in base64. */
async function assertStoreTellsNothing(
  client: Redis,
  issued: readonly object[],
  handles: readonly string[],
): Promise<void> {
  const dump = await dumpEverything(client);
  assert.ok(dump.length > 1_000, 'there is something to search');
  const tokens = issued
    .flatMap((body) => Object.values(body))
    .filter((value) => typeof value === 'string' && value.length > 20);
  assert.ok(tokens.length >= 4);
  for (const secret of [...handles, ...tokens, 'alice', 'demo.example']) {
    for (const text of [String(secret), Buffer.from(String(secret)).toString('base64url')]) {
      assert.ok(!dump.includes(text.slice(0, 60)), 'the store holds neither handle nor token nor name');
    }
  }
}

async function dumpEverything(client: Redis): Promise<string> {
  let dump = '';
  for (const key of await client.keys('*')) {
    dump += `${key}\n`;
    switch (await client.type(key)) {
      case 'hash':
        for (const [field, value] of Object.entries(await client.hgetallBuffer(key)))
          dump += `${field}=${value.toString('latin1')}\n`;
        break;
      case 'zset':
        dump += `${(await client.zrange(key, 0, -1)).join('\n')}\n`;
        break;
      default:
        dump += `${(await client.getBuffer(key))?.toString('latin1')}\n`;
    }
  }
  return dump;
}
