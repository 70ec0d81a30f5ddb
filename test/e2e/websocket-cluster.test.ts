// Two server processes on one Redis: a session that ends anywhere ends its WebSockets everywhere (D-32).

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { systemClock } from '../../src/core/clock.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import { createSessions } from '../../src/core/sessions.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { hotOf } from '../core/world.ts';
import { closeOf, type SocketService, startSocketService } from '../proxy/websocket-world.ts';
import { call, until } from '../proxy/world.ts';
import { NO_IDENTITY } from '../support/identity.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis, whenReachable } from '../support/redis.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/sallyport.js', import.meta.url));
const SECRET = randomBytes(32);
const ORIGIN = 'https://app.example.test';

type Process = { readonly port: number; stop(): Promise<void> };
type Subject = { readonly handle: string; readonly session: Session };

describe('a session that ends', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let service: SocketService;
  let a: Process;
  let b: Process;
  let sessions: Sessions;
  let store: ReturnType<typeof createValkeyStore>;

  before(async () => {
    redis = await startRedis();
    service = await startSocketService();
    [a, b] = [
      await startProcess(redis.url, service.url, 'tracking'),
      await startProcess(redis.url, service.url, 'none'),
    ];
    store = createValkeyStore({ redis: redis.settings() });
    await whenReachable(store);
    sessions = makeSessions(store);
  });

  after(async () => {
    await Promise.all([a.stop(), b.stop()]);
    await store.close();
    await service.close();
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

  test('by a sign-out at one process closes its sockets at the other with 4401, and no others', async () => {
    const [subject, other] = [await createOne(sessions, 'u-1'), await createOne(sessions, 'u-2')];
    const [here, there, spared] = [await open(a, subject), await open(b, subject), await open(b, other)];
    const closes = [closeOf(here), closeOf(there)];
    const answer = await call({
      port: a.port,
      path: '/auth/logout',
      method: 'POST',
      headers: { host: 'app.example.test', origin: ORIGIN, cookie: cookieOf(subject), accept: 'application/json' },
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
      const subject = await createOne(sessions, `user-${randomBytes(4).toString('hex')}`);
      const sockets = [await open(a, subject), await open(b, subject)];
      const closes = sockets.map(closeOf);
      await end(subject);
      assert.deepEqual(await Promise.all(closes), ['4401 the session has ended', '4401 the session has ended']);
    }
  });

  test('at its absolute limit closes its sockets with 4401', async () => {
    const subject = await createOne(makeSessions(store, 2_500), 'u-limit');
    assert.equal(await closeOf(await open(a, subject)), '4401 the session has ended');
  });

  test('while Redis is away leaves its sockets open, and closes them when Redis is back without it', async () => {
    const subject = await createOne(sessions, 'u-outage');
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

function makeSessions(store: ReturnType<typeof createValkeyStore>, absoluteMs = 3_600_000): Sessions {
  return createSessions({
    store,
    ring: createKeyRing([{ id: 'k1', secret: SECRET }]),
    clock: systemClock,
    settings: {
      idleMs: Math.min(1_800_000, absoluteMs),
      absoluteMs,
      maxPerUser: 0,
      checkSlides: true,
      exposedClaims: [],
    },
    identity: NO_IDENTITY,
    tombstoneTtlMs: 1_000,
    onBackgroundError: () => {},
  });
}

async function createOne(sessions: Sessions, subject: string): Promise<Subject> {
  const now = Date.now();
  const { createdAt: _c, idleMs: _i, absoluteAt: _a, indexKeyId: _k, ...hot } = hotOf();
  const principal = { ...hot.principal, issuer: 'https://idp.example.test', subject };
  const created = await sessions.create({
    hot: { ...hot, principal, tokenExpiresAt: now + 3_600_000, authTime: now, sid: undefined },
    cold: { refreshToken: undefined, idToken: undefined },
    startedAt: now,
  });
  assert.ok(created);
  return created;
}

function cookieOf({ handle }: Subject): string {
  return `bff_session=${handle}`;
}

async function open({ port }: Process, subject: Subject): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, {
    origin: ORIGIN,
    headers: { host: 'app.example.test', cookie: cookieOf(subject) },
  });
  await once(socket, 'open');
  return socket;
}

async function echo(socket: WebSocket): Promise<string> {
  const answer = once(socket, 'message');
  socket.send('hello');
  return String((await answer)[0]);
}

/** @param l1 without a cache of sessions the process must hear of their ends all the same. */
async function startProcess(redisUrl: string, serviceUrl: string, l1: 'tracking' | 'none'): Promise<Process> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-ws-'));
  const settings = {
    version: 1,
    sites: { main: { public_url: ORIGIN } },
    listen: { public: { address: '127.0.0.1', port: 0 } },
    workers: 1,
    keys: { seal: [{ id: 'k1', secret: SECRET.toString('base64url') }] },
    store: { kind: 'redis', redis: { url: redisUrl }, l1: { mode: l1 } },
    shutdown: { unready: '0s', drain: '1s' },
  };
  const provider = {
    issuer: 'https://idp.example.invalid',
    client_id: 'x',
    client_auth: { secret: 'a-secret-of-the-world-0001' },
    logout: { mode: 'local' },
  };
  const routes = {
    version: 1,
    services: { echo: { urls: [serviceUrl], token: { source: 'session' } } },
    routes: [{ id: 'ws', paths: ['/ws'], target_service: 'echo', websocket: {} }],
  };
  const files = { settings, idps: { version: 1, providers: { main: provider } }, routes };
  for (const [name, value] of Object.entries(files)) {
    writeFileSync(join(directory, `${name}.yaml`), JSON.stringify(value), { mode: 0o600 });
  }
  const child = spawn(process.execPath, [LAUNCHER, 'serve', '--config', directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  return {
    port: await listening(child),
    async stop() {
      child.kill('SIGTERM');
      await once(child, 'exit');
      process.removeListener('exit', kill);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function listening(child: ChildProcess): Promise<number> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout! })) {
    lines.push(line);
    if (!line.includes('"listening"')) continue;
    child.stdout!.resume();
    return (JSON.parse(line) as { publicPort: number }).publicPort;
  }
  throw new Error(`the server did not start:\n${lines.join('\n')}`);
}
