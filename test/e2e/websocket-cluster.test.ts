// Two server processes on one Redis: a session that ends anywhere ends its WebSockets and streams everywhere (D-32).
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { createKeyRing } from '../../src/core/crypto.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { closeOf, type SocketService, startSocketService } from '../proxy/websocket-world.ts';
import { call, startService, type TestService } from '../proxy/world.ts';
import { createSession, sessionsOver } from '../support/direct-sessions.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';
import { type ServeProcess, spawnServe } from '../support/serve-process.ts';
import { PUBLIC_URL } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const SECRET = randomBytes(32);
const RING = createKeyRing([{ id: 'k1', secret: SECRET }]);
const HOST = new URL(PUBLIC_URL).host;

type Subject = { readonly handle: string; readonly session: Session };

describe('a session that ends', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let service: SocketService;
  let events: TestService;
  let a: ServeProcess;
  let b: ServeProcess;
  let sessions: Sessions;
  let store: ReturnType<typeof createValkeyStore>;

  before(async () => {
    redis = await startRedis();
    service = await startSocketService();
    events = await startService((_incoming, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');
    });
    const urls = { echo: service.url, events: events.url };
    [a, b] = [await startProcess(redis.url, urls, 'tracking'), await startProcess(redis.url, urls, 'none')];
    store = createValkeyStore({ redis: redis.settings() });
    await whenReachable(store);
    sessions = sessionsOver({ store, ring: RING });
  });

  after(async () => {
    await Promise.all([a.remove(), b.remove()]);
    await store.close();
    await service.close();
    await events.close();
    await redis.remove();
  });

  test('is told to both processes, with a cache and without', async () => {
    const client = redis.connect();
    await until(async () => {
      const lines = String(await client.call('CLIENT', 'LIST')).split('\n');
      return lines.filter((line) => /flags=\w*t/.test(line)).length === 2;
    }, 'two connections track');
    client.disconnect();
  });

  test('opens sockets beside others without a word of the native core on standard error', async () => {
    const subject = await createSession(sessions, { subject: 'u-quiet' });
    const first = await open(a, subject);
    const said = a.errors();
    const more = [];
    for (let n = 0; n < 10; n++) {
      const socket = await open(a, subject);
      assert.equal(await echo(socket), 'hello');
      more.push(socket);
    }
    assert.equal(a.errors(), said);
    assert.equal(await echo(first), 'hello');
    for (const socket of [first, ...more]) socket.terminate();
  });

  test('by a sign-out at one process closes its sockets at the other with 4401, and no others', async () => {
    const [subject, other] = [
      await createSession(sessions, { subject: 'u-1' }),
      await createSession(sessions, { subject: 'u-2' }),
    ];
    const [here, there, spared] = [await open(a, subject), await open(b, subject), await open(b, other)];
    const closes = [closeOf(here), closeOf(there)];
    const answer = await call({
      port: a.ports().public,
      path: '/auth/logout',
      method: 'POST',
      headers: { host: HOST, origin: PUBLIC_URL, cookie: cookieOf(subject), accept: 'application/json' },
    });
    assert.equal(answer.status, 200, answer.body.toString());
    assert.deepEqual(await Promise.all(closes), ['4401 the session has ended', '4401 the session has ended']);
    await until(() => service.open.size === 1, 'the service has only the other');
    assert.deepEqual(
      service.closes.slice(-2).map(({ code }) => code),
      [1001, 1001],
    );
    assert.equal(await echo(spared), 'hello');
    spared.terminate();
  });

  test('by a sign-out at one process cuts its event streams at both, and no others', async () => {
    const [subject, other] = [
      await createSession(sessions, { subject: 'u-1' }),
      await createSession(sessions, { subject: 'u-2' }),
    ];
    const streams = [await listen(a, subject), await listen(b, subject)];
    const spared = await listen(b, other);
    // Not by `once`: a cut is an error first.
    const ends = streams.map((stream) => new Promise((resolve) => stream.on('close', resolve)));
    const answer = await call({
      port: a.ports().public,
      path: '/auth/logout',
      method: 'POST',
      headers: { host: HOST, origin: PUBLIC_URL, cookie: cookieOf(subject), accept: 'application/json' },
    });
    assert.equal(answer.status, 200, answer.body.toString());
    await Promise.all(ends);
    assert.deepEqual(
      [...streams, spared].map(({ complete, destroyed }) => [complete, destroyed]),
      [
        [false, true],
        [false, true],
        [false, false],
      ],
    );
    spared.destroy();
  });

  test('with its user, with a record deleted by hand, with an emptied store', async () => {
    for (const end of [
      (subject: Subject) => sessions.endAllOfUser('https://idp.example.test', subject.session.hot.principal.subject),
      (subject: Subject) => sessions.end(subject.session),
      async (subject: Subject) => {
        const client = redis.connect();
        await client.del(`sp:s:{${subject.session.locator}}`);
        client.disconnect();
      },
      async () => {
        const client = redis.connect();
        await client.flushall();
        client.disconnect();
      },
    ]) {
      const subject = await createSession(sessions, { subject: `user-${randomBytes(4).toString('hex')}` });
      const sockets = [await open(a, subject), await open(b, subject)];
      const closes = sockets.map(closeOf);
      await end(subject);
      assert.deepEqual(await Promise.all(closes), ['4401 the session has ended', '4401 the session has ended']);
    }
  });

  test('at its absolute limit closes its sockets with 4401', async () => {
    const subject = await createSession(sessionsOver({ store, ring: RING, settings: { absoluteMs: 2_500 } }), {
      subject: 'u-limit',
    });
    assert.equal(await closeOf(await open(a, subject)), '4401 the session has ended');
  });

  test('while Redis is away leaves its sockets open, and closes them when Redis is back without it', async () => {
    const subject = await createSession(sessions, { subject: 'u-outage' });
    const socket = await open(b, subject);
    const close = closeOf(socket);
    await redis.stop();
    assert.equal(await echo(socket), 'hello');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    assert.equal(await echo(socket), 'hello');
    // Nothing was kept.
    await redis.start();
    assert.equal(await close, '4401 the session has ended');
  });
});

function cookieOf({ handle }: Subject): string {
  return `bff_session=${handle}`;
}

async function open(process: ServeProcess, subject: Subject): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${process.ports().public}/ws`, {
    origin: PUBLIC_URL,
    headers: { host: HOST, cookie: cookieOf(subject) },
  });
  await once(socket, 'open');
  return socket;
}

/** An event stream whose first event has come. */
async function listen(process: ServeProcess, subject: Subject): Promise<IncomingMessage> {
  const headers = { host: HOST, cookie: cookieOf(subject) };
  const outgoing = get({ host: '127.0.0.1', port: process.ports().public, path: '/events', headers, agent: false });
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  assert.match(String((await once(response, 'data'))[0]), /first/);
  return response;
}

async function echo(socket: WebSocket): Promise<string> {
  const answer = once(socket, 'message');
  socket.send('hello');
  return String((await answer)[0]);
}

/** @param l1 without a cache of sessions the process must hear of their ends all the same. */
async function startProcess(
  redisUrl: string,
  urls: Readonly<Record<'echo' | 'events', string>>,
  l1: 'tracking' | 'none',
): Promise<ServeProcess> {
  const settings = {
    keys: { seal: [{ id: 'k1', secret: SECRET.toString('base64url') }] },
    store: { kind: 'redis', redis: { url: redisUrl }, l1: { mode: l1 } },
  };
  const routes = {
    version: 1,
    services: {
      echo: { urls: [urls.echo], token: { source: 'session' } },
      events: { urls: [urls.events], token: { source: 'session' } },
    },
    routes: [
      { id: 'ws', paths: ['/ws'], target_service: 'echo', websocket: {} },
      { id: 'events', paths: ['/events'], target_service: 'events' },
    ],
  };
  const process = spawnServe({ settings, routes, idp: { logout: { mode: 'local' } } });
  await process.logged('listening');
  return process;
}
