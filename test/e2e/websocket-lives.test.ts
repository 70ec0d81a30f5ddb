// What is open through two workers over one Redis while the process is reloaded and stopped (D-22, D-32, D-43).
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
import { findChildren, type ServeProcess, spawnServe } from '../support/serve-process.ts';
import { PUBLIC_URL } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const SECRET = randomBytes(32);
const RING = createKeyRing([{ id: 'k1', secret: SECRET }]);
const HOST = new URL(PUBLIC_URL).host;
/** So many that each of two workers has some: all on one is one case in 2^15. */
const SOCKETS = 16;

type Subject = { readonly handle: string; readonly session: Session };

describe('what is open through two workers', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let echo: SocketService;
  let api: TestService;
  let serve: ServeProcess;
  let sessions: Sessions;
  let store: ReturnType<typeof createValkeyStore>;

  const filesOf = (more: { services?: object; routes?: readonly object[] } = {}) => ({
    settings: {
      workers: 2,
      keys: { seal: [{ id: 'k1', secret: SECRET.toString('base64url') }] },
      store: { kind: 'redis', redis: { url: redis.url } },
      shutdown: { unready: '0s', drain: '3s' },
    },
    routes: {
      version: 1,
      services: { echo: { urls: [echo.url], token: { source: 'session' } }, ...more.services },
      routes: [
        { id: 'ws', paths: ['/ws'], target_service: 'echo', websocket: {} },
        { id: 'active', paths: ['/active'], target_service: 'echo', websocket: { counts_as_activity: true } },
        ...(more.routes ?? []),
      ],
    },
  });
  const cookieOf = ({ handle }: Subject): string => `bff_session=${handle}`;
  const open = async (subject: Subject, path = '/ws'): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${serve.ports().public}${path}`, {
      origin: PUBLIC_URL,
      headers: { host: HOST, cookie: cookieOf(subject) },
    });
    await once(socket, 'open');
    return socket;
  };
  const say = async (socket: WebSocket, text: string): Promise<string> => {
    const answer = once(socket, 'message');
    socket.send(text);
    return String((await answer)[0]);
  };
  const ask = (subject: Subject, path: string, method = 'GET') =>
    call({
      port: serve.ports().public,
      path,
      method,
      headers: { host: HOST, origin: PUBLIC_URL, cookie: cookieOf(subject), accept: 'application/json' },
    });

  before(async () => {
    redis = await startRedis();
    echo = await startSocketService();
    api = await startService((incoming, response) => {
      if (incoming.url?.endsWith('/events') !== true) return void response.end('here');
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');
    });
    serve = spawnServe({ ...filesOf(), idp: { logout: { mode: 'local' } } });
    store = createValkeyStore({ redis: redis.settings() });
    await whenReachable(store);
    sessions = sessionsOver({ store, ring: RING });
    await serve.logged('listening', 3, 60_000);
  });
  after(async () => {
    await serve?.remove();
    await store?.close();
    await echo?.close();
    await api?.close();
    await redis?.remove();
  });

  test('keeps a session from idling out where messages count, and only there', async () => {
    const brief = sessionsOver({ store, ring: RING, settings: { idleMs: 5_000 } });
    const [active, passive] = [
      await createSession(brief, { subject: 'u-1' }),
      await createSession(brief, { subject: 'u-2' }),
    ];
    const [counted, other] = [await open(active, '/active'), await open(passive)];
    let close = '';
    void closeOf(other).then((text) => (close = text));
    const endsAt = performance.now() + 9_000;
    while (performance.now() < endsAt || close === '') {
      assert.equal(await say(counted, 'x'), 'x');
      if (close === '') other.send('x');
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.ok(performance.now() < endsAt + 20_000, 'the other one ends');
    }
    assert.equal(close, '4401 the session has ended');
    const isSignedIn = async (subject: Subject): Promise<unknown> =>
      JSON.parse((await ask(subject, '/api/auth/session?slide=false')).body.toString()).authenticated;
    assert.deepEqual([await isSignedIn(active), await isSignedIn(passive)], [true, false]);
    counted.terminate();
  });

  test('outlives a reload; sessions have the new service at once, and still end everywhere', async () => {
    const [subject, other] = [
      await createSession(sessions, { subject: 'u-3' }),
      await createSession(sessions, { subject: 'u-4' }),
    ];
    const before = await Promise.all(Array.from({ length: SOCKETS }, () => open(subject)));
    const spared = await open(other);
    assert.equal((await ask(subject, '/new/x')).status, 404);
    serve.configure(
      filesOf({
        services: { api: { urls: [api.url], token: { source: 'session' } } },
        routes: [{ id: 'new', paths: ['/new/*'], target_service: 'api' }],
      }),
    );
    serve.signal('SIGHUP');
    await serve.logged('reloaded');
    for (let n = 0; n < 8; n++) assert.equal((await ask(subject, '/new/x')).body.toString(), 'here');
    assert.match(api.last().headers.authorization ?? '', /^Bearer /);
    for (const socket of before) assert.equal(await say(socket, 'still here'), 'still here');
    const closes = [...before, await open(subject)].map(closeOf);
    assert.equal((await ask(subject, '/auth/logout', 'POST')).status, 200);
    assert.deepEqual(new Set(await Promise.all(closes)), new Set(['4401 the session has ended']));
    assert.equal(await say(spared, 'x'), 'x');
    spared.terminate();
  });

  test('is told of the stop: clients and services get 1001, what was sent before arrives, no process is left', async () => {
    const subject = await createSession(sessions, { subject: 'u-5' });
    const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => open(subject)));
    const headers = { host: HOST, cookie: cookieOf(subject) };
    const [stream] = (await once(
      get({ host: '127.0.0.1', port: serve.ports().public, path: '/new/events', headers, agent: false }),
      'response',
    )) as [IncomingMessage];
    const cut = new Promise((resolve) => stream.on('error', () => {}).on('close', resolve));
    stream.resume();
    const said = sockets.map((socket) => once(socket, 'message'));
    await until(() => echo.open.size === SOCKETS, 'the service has them all');
    const told = echo.closes.length;
    for (const [index, socket] of [...echo.open].entries()) socket.send(`${index} `.repeat(20_000));
    await Promise.all(said);
    const closes = sockets.map(closeOf);
    const workers = await findChildren(serve.pid);
    serve.signal('SIGTERM');
    assert.deepEqual(new Set(await Promise.all(closes)), new Set(['1001 going away']));
    await until(() => echo.closes.length === told + SOCKETS, 'the service is told');
    assert.deepEqual(new Set(echo.closes.slice(told).map(({ code }) => code)), new Set([1001]));
    await cut;
    assert.equal(stream.complete, false, 'the drain deadline cuts what would go on for ever');
    assert.equal(await serve.ended, 0);
    for (const pid of workers) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
    assert.equal(serve.log.filter(({ level }) => level === 'error' || level === 'fatal').length, 0);
  });
});
