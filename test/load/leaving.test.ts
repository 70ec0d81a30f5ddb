import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requestBytes } from '../../scripts/attacks/raw-client.ts';
import { type ChildServer, startChildServer } from '../support/child-server.ts';
import { asTraefik } from '../support/gateway.ts';
import { skipWithout } from '../support/parts.ts';
import { callbackTarget, createBrowser, type Header } from '../support/raw-client.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { type ScriptedProvider, startScriptedProvider } from '../support/scripted-provider.ts';
import { startTcpFaultProxy, type TcpFaultProxy } from '../support/tcp-fault-proxy.ts';
import { PUBLIC_URL } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const LOGINS = 700;
const CALLBACKS = 2_000;
const VERIFIES = 600;
const WARM_UP = 300;
/** Below what 2,000 forgotten leavers would hold; used states of sign-ins are remembered on purpose. */
const HEAP_GROWTH_MAX_BYTES = 4_194_304;
const AT_ONCE = 100;
const PROVIDER_DELAY_MS = 100;

const HOST: Header = ['host', 'app.example.test'];

describe('clients that leave in the middle', () => {
  test(`${LOGINS} leave a login and ${CALLBACKS} a callback: no socket, call, request or memory stays`, async (t) => {
    const provider = await startScriptedProvider();
    const server = await startChildServer(provider.idps({ timeout: { connect: '1s', total: '30s' } }), {
      // A sign-in that nobody waits for is finished all the same: one of its sessions is kept, not thousands.
      session: { max_per_user: 1 },
    });
    try {
      await assertSignsIn(server, provider);
      const { front } = provider;
      const before = await otherSockets(server);
      await inBatches(LOGINS, (index) => leaveLogin(server, index));
      provider.delayTokens(PROVIDER_DELAY_MS);
      // The first ones make what stays: pools and compiled code.
      await inBatches(WARM_UP, () => leaveCallback(server, provider));
      await until(() => front.pending() === 0, 'no call to the provider is left', 20_000);
      const { heapUsedBytes: heapBefore } = await server.measure();
      await inBatches(CALLBACKS, () => leaveCallback(server, provider));
      // Nobody waits for them any more, and yet each code goes out once, and is used up.
      await until(() => front.requests('/token').length === WARM_UP + CALLBACKS + 1, 'every code was redeemed', 60_000);
      await until(() => front.pending() === 0, 'no call to the provider is left');
      provider.delayTokens(0);
      await assertUnharmed(server, before);
      assert.equal(front.requests('/token').length, WARM_UP + CALLBACKS + 1);
      const { heapUsedBytes } = await server.measure();
      t.diagnostic(`heap before ${heapBefore} B, after ${heapUsedBytes} B; sockets before ${before}`);
      assert.ok(heapUsedBytes < heapBefore + HEAP_GROWTH_MAX_BYTES, `${heapBefore} B before, ${heapUsedBytes} B after`);
      await until(
        async () => (await server.metric('sallyport_outbound_sockets')) === 0,
        'no call keeps a socket',
        15_000,
      );
      await assertSignsIn(server, provider);
    } finally {
      await server.close();
      await provider.close();
    }
  });

  test(`${VERIFIES} leave verify while the store is slow`, { skip: skipWithout('redis-server') }, async () => {
    const redis = await startRedis();
    const proxy = await startTcpFaultProxy(redis.port);
    try {
      await leaveVerifies(redis, proxy);
    } finally {
      await proxy.close();
      await redis.remove();
    }
  });
});

async function leaveVerifies(redis: TestRedis, proxy: TcpFaultProxy): Promise<void> {
  const provider = await startScriptedProvider();
  const url = redis.url.replace(String(redis.port), String(proxy.port));
  // Without the cache, so that each of them waits for the store.
  const store = { kind: 'redis', redis: { mode: 'single', url, command_timeout: '10s' }, l1: { mode: 'none' } };
  const server = await startChildServer(provider.idps(), { store });
  try {
    const handle = await assertSignsIn(server, provider);
    const before = await otherSockets(server);
    proxy.setMode('hold');
    const leavers = Array.from({ length: VERIFIES }, () => open(server, verifyRequest(handle)));
    await until(async () => (await server.metric('sallyport_requests_in_flight')) === VERIFIES + 1, 'all are waiting');
    for (const leaver of leavers) (await leaver).destroy();
    await until(async () => (await server.metric('sallyport_requests_in_flight')) === 1, 'none is waiting any more');
    proxy.setMode('pass');
    await assertUnharmed(server, before);
    await assertSignsIn(server, provider);
  } finally {
    await server.close();
    await provider.close();
  }
}

/** Signs in and is let through; returns the handle. */
async function assertSignsIn(server: ChildServer, provider: ScriptedProvider): Promise<string> {
  const browser = createBrowser(server);
  assert.equal((await browser.signIn(provider)).status, 302);
  assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  return browser.cookies.get('bff_session') ?? '';
}

/** Sockets other than those to the provider, which may stay for the next call. */
async function otherSockets(server: ChildServer): Promise<number> {
  return (await server.measure()).sockets - (await server.metric('sallyport_outbound_sockets'));
}

async function assertUnharmed(server: ChildServer, socketsBefore: number): Promise<void> {
  await until(async () => (await server.metric('sallyport_requests_in_flight')) === 1, 'no open request', 20_000);
  // The test itself asks over one or two connections.
  await until(async () => (await otherSockets(server)) <= socketsBefore + 2, 'no socket is left', 15_000);
  assert.deepEqual((await server.measure()).problems, []);
}

/** A third each: half a request, a whole one and away, the answer half read. */
async function leaveLogin(server: ChildServer, index: number): Promise<void> {
  const bytes = requestBytes('GET', '/auth/login?return_to=/a', [HOST, ['accept', 'text/html']]);
  const socket = await open(server, index % 3 === 0 ? bytes.subarray(0, bytes.length / 2) : bytes);
  if (index % 3 === 2) await new Promise((resolve) => socket.once('data', resolve));
  if (index % 2 === 0) socket.resetAndDestroy();
  else socket.destroy();
}

/** The code is on its way to the provider when the browser goes. */
async function leaveCallback(server: ChildServer, provider: ScriptedProvider): Promise<void> {
  const browser = createBrowser(server);
  const { state, nonce } = await browser.beginLogin();
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  const target = callbackTarget(provider, state, provider.codeFor({ nonce }));
  const socket = await open(server, requestBytes('GET', target, [HOST, ['cookie', cookie]]));
  await sleep(PROVIDER_DELAY_MS / 3);
  socket.destroy();
}

function verifyRequest(handle: string): Buffer {
  return requestBytes('GET', '/auth/verify', [
    ['host', 'sallyport.internal'],
    ...Object.entries(asTraefik(PUBLIC_URL, '/dashboard')),
    ['cookie', `bff_session=${handle}`],
  ]);
}

/** Connect and write; resolves when the bytes have left. */
function open(server: ChildServer, bytes: Buffer): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.ports.public, '127.0.0.1');
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.removeListener('error', reject);
      socket.on('error', () => {});
      socket.write(bytes, () => resolve(socket));
    });
  });
}

async function inBatches(count: number, run: (index: number) => Promise<void>): Promise<void> {
  for (let done = 0; done < count; done += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - done) }, (_, offset) => run(done + offset)));
  }
}
