// login.rate_limit of two processes' worth of servers over one real Redis, and over one that went away.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type DemoProvider, startDemoProvider } from '../../src/cli/demo/provider.ts';
import { call } from '../proxy/world.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { PUBLIC_URL, startTestServer, type TestServer } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const HOST = new URL(PUBLIC_URL).host;

describe('login.rate_limit over Redis', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let provider: DemoProvider;
  let servers: TestServer[];

  before(async () => {
    redis = await startRedis();
    const client = { client_id: 'bff', client_secret: randomBytes(24).toString('base64url') };
    const redirectUris = [`${PUBLIC_URL}/auth/callback`];
    provider = await startDemoProvider({ clients: [{ ...client, redirect_uris: redirectUris }] });
    const options = {
      settings: {
        keys: { seal: [{ id: 'k1', secret: randomBytes(32).toString('base64url') }] },
        store: { kind: 'redis', redis: { url: redis.url } },
        login: { rate_limit: { average: 1, period: '1h', burst: 4, key: 'client_ip' } },
      },
      idps: {
        version: 1,
        providers: {
          main: { issuer: provider.issuer, client_id: 'bff', client_auth: { secret: client.client_secret } },
        },
      },
      expectedErrors: ['store_unavailable'],
    };
    servers = await Promise.all([startTestServer(options), startTestServer(options)]);
    await Promise.all(servers.map((server) => server.whenReady()));
  });

  after(async () => {
    await Promise.all(servers.map((server) => server.close()));
    await provider.close();
    await redis.remove();
  });

  const login = async (at: 0 | 1, from: string): Promise<number> => {
    const headers = { host: HOST, 'x-forwarded-for': from };
    return (await call({ port: servers[at]?.ports.public ?? 0, path: '/auth/login', headers })).status;
  };
  const logins = async (from: string, ...at: readonly (0 | 1)[]): Promise<number[]> => {
    const statuses: number[] = [];
    for (const server of at) statuses.push(await login(server, from));
    return statuses;
  };

  test('is counted together, for each address', async () => {
    assert.deepEqual(await logins('192.0.2.1', 0, 1, 0, 1, 0, 1), [302, 302, 302, 302, 429, 429]);
    assert.deepEqual(await logins('192.0.2.2', 1), [302]);
  });

  test('leaves no address in the store, and each count ends', async () => {
    const client = redis.connect();
    const keys = await client.keys('sp:q:*');
    assert.equal(keys.length, 2);
    for (const key of keys) {
      assert.match(key, /^sp:q:[A-Za-z0-9_-]{43}$/);
      const left = await client.pttl(key);
      assert.ok(left > 0 && left <= 4 * 3_600_000);
    }
    client.disconnect();
  });

  test('is kept by each server alone while the store is away, which stops nobody from signing in', async () => {
    await redis.stop();
    await until(async () => (await servers[0]?.metric('sallyport_store_reachable')) === 0, 'the outage is noticed');
    assert.deepEqual(await logins('192.0.2.3', 0, 0, 0, 0, 0), [302, 302, 302, 302, 429]);
    assert.deepEqual(await logins('192.0.2.3', 1), [302]);
    await redis.start();
    await until(async () => (await servers[0]?.metric('sallyport_store_reachable')) === 1, 'the store is back');
    assert.deepEqual(await logins('192.0.2.4', 0), [302]);
  });
});
