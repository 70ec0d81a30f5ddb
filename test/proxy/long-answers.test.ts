// Answers that go on and on end with the session that they belong to (D-32).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { after, before, describe, mock, test } from 'node:test';
import { DEMO_API_AUDIENCE } from '../../src/cli/demo/provider-config.ts';
import type { LiveSessions } from '../../src/proxy/live-sessions.ts';
import { type LongAnswer, LongAnswers } from '../../src/proxy/long-answers.ts';
import { sessionOf } from '../core/world.ts';
import { until } from '../support/until.ts';
import { call, type ProxyWorld, startProxyWorld, startService, type TestService } from './world.ts';

/** Beyond the age from which any answer is watched. */
const LONG_MS = 11_000;

type Stream = {
  readonly status: number;
  /** Settles when it is over: complete or cut. */
  readonly over: Promise<'complete' | 'cut'>;
  readonly isOver: () => boolean;
};

function follow(response: IncomingMessage): Stream {
  let isOver = false;
  const over = new Promise<'complete' | 'cut'>((resolve) => {
    response.on('error', () => {});
    response.on('close', () => {
      isOver = true;
      resolve(response.complete ? 'complete' : 'cut');
    });
  });
  response.resume();
  return { status: response.statusCode ?? 0, over, isOver: () => isOver };
}

describe('an answer that goes on', () => {
  let world: ProxyWorld;
  let service: TestService;
  let pending: ServerResponse[] = [];

  before(async () => {
    service = await startService((incoming, response) => {
      const kind = (incoming.url ?? '').split('/')[2];
      if (kind === 'events') response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      if (kind === 'lines') response.writeHead(200, { 'content-type': 'text/plain' }).write('first\n');
      if (kind === 'take') incoming.on('end', () => response.end('taken')).resume();
      else pending.push(response);
    });
    const one = { target_service: 'api' };
    world = await startProxyWorld({
      services: { api: { urls: [service.url], audience: DEMO_API_AUDIENCE, token: { source: 'session' } } },
      routes: [
        { id: 'mine', paths: ['/mine/*'], csrf: 'none', ...one },
        { id: 'open', paths: ['/open/*'], auth: 'none', ...one },
        { id: 'either', paths: ['/either/*'], auth: 'any', ...one },
      ],
      settings: { limits: { websockets_per_session: 1 } },
    });
  });
  after(async () => {
    await world?.close();
    await service?.close();
  });

  const ask = (path: string, headers: Record<string, string>, method = 'GET'): ClientRequest => {
    const outgoing = request({ host: '127.0.0.1', port: world.port, path, method, headers, agent: false });
    return outgoing.on('error', () => {});
  };
  const open = async (path: string, headers: Record<string, string>): Promise<Stream> => {
    const outgoing = ask(path, headers);
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    return follow(response);
  };
  const signOut = async (cookie: string): Promise<void> => {
    const headers = { cookie, origin: world.origin, accept: 'application/json' };
    const { status } = await call({ port: world.port, path: '/auth/logout', method: 'POST', headers });
    assert.equal(status, 200);
  };
  const secondsPass = async (): Promise<void> => {
    world.advanceMs(LONG_MS);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
  };

  test('as an event stream is cut at the sign-out, and no other is', async () => {
    const [alice, again, bob] = [await world.signIn('alice'), await world.signIn('alice'), await world.signIn('bob')];
    // More of them than WebSockets may be.
    const mine = [await open('/mine/events', { cookie: alice }), await open('/mine/events', { cookie: alice })];
    const others = [
      await open('/mine/events', { cookie: again }),
      await open('/mine/events', { cookie: bob }),
      await open('/open/events', { cookie: alice }),
    ];
    pending = [];
    await signOut(alice);
    assert.deepEqual(await Promise.all(mine.map(({ over }) => over)), ['cut', 'cut']);
    assert.equal((await call({ port: world.port, path: '/mine/events', headers: { cookie: alice } })).status, 401);
    await signOut(again);
    assert.equal(await others[0]?.over, 'cut');
    assert.deepEqual([others[1]?.isOver(), others[2]?.isOver()], [false, false]);
    await signOut(bob);
    assert.equal(await others[1]?.over, 'cut');
  });

  test('is watched from ten seconds on, whatever it is; one without a head yet becomes a 401', async () => {
    const [alice, bob] = [await world.signIn('alice'), await world.signIn('bob')];
    pending = [];
    const lines = await open('/mine/lines', { cookie: alice });
    const silent = ask('/mine/silent', { cookie: alice });
    silent.end();
    const head = once(silent, 'response') as Promise<[IncomingMessage]>;
    const spared = await open('/mine/lines', { cookie: bob });
    await until(() => pending.length === 3, 'the service has all three');
    await secondsPass();
    assert.deepEqual([lines.isOver(), spared.isOver()], [false, false]);
    await signOut(alice);
    assert.equal(await lines.over, 'cut');
    assert.equal((await head)[0].statusCode, 401);
    assert.equal(spared.isOver(), false);
    for (const response of pending) response.end();
    assert.equal(await spared.over, 'complete');
  });

  test('a younger one ends by itself', async () => {
    const bob = await world.signIn('bob');
    pending = [];
    const lines = await open('/mine/lines', { cookie: bob });
    await signOut(bob);
    for (const response of pending) response.end('last\n');
    assert.equal(await lines.over, 'complete');
  });

  test('a body that is still coming is not stopped in the middle', async () => {
    const bob = await world.signIn('bob');
    const upload = ask('/mine/take', { cookie: bob, 'content-length': '10' }, 'POST');
    upload.write('12345');
    await until(() => service.seen.at(-1)?.url === '/mine/take', 'it is on its way');
    await secondsPass();
    await signOut(bob);
    upload.end('67890');
    const [response] = (await once(upload, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 200);
    response.resume();
  });

  // The last one: nobody can sign in so late.
  test("ends when the session expires, and a bearer's event stream with the token", async () => {
    const cookie = await world.signIn('alice');
    pending = [];
    const stream = await open('/mine/events', { cookie });
    const { authorization = '' } = service.last().headers;
    const [events, lines] = [
      await open('/either/events', { authorization }),
      await open('/either/lines', { authorization }),
    ];
    assert.deepEqual([events.status, lines.status], [200, 200]);
    world.advanceMs(24 * 3_600_000);
    assert.deepEqual([await stream.over, await events.over], ['cut', 'cut']);
    assert.equal(lines.isOver(), false);
    for (const response of pending) response.end();
    assert.equal(await lines.over, 'complete');
  });
});

describe('answers that are not long yet', () => {
  test('are watched from their age on, oldest first, but for those that have ended, in whatever order', (t) => {
    t.after(() => mock.timers.reset());
    mock.timers.enable({ apis: ['setInterval'] });
    let now = 0;
    const sat: unknown[] = [];
    const live = { enter: () => ({ sit: (one: unknown) => sat.push(one), act() {}, leave() {} }) };
    const answers = new LongAnswers(live as unknown as LiveSessions, { now: () => now });
    const site = { findHandle: () => 'a handle' };
    const begin = (complete = true): LongAnswer => {
      const answer = {
        call: {
          asked: { context: { cookie: '' }, site },
          session: sessionOf({}),
          exchange: { startedAt: now },
          upload: { complete },
        },
        hasHead: false,
        seat: undefined,
        older: undefined,
        newer: undefined,
        isYoung: false,
        onSessionEnd() {},
      } as unknown as LongAnswer;
      answers.begin(answer);
      return answer;
    };
    const [first, second, third, fourth, uploading, sixth] = [
      begin(),
      begin(),
      begin(),
      begin(),
      begin(false),
      begin(),
    ];
    for (const one of [first, third, sixth, third]) answers.end(one);
    now = 5_000;
    const late = begin();
    now = 10_000;
    mock.timers.tick(1_000);
    assert.deepEqual([sat.length, sat[0] === second, sat[1] === fourth], [2, true, true]);
    answers.end(uploading);
    now = 15_000;
    mock.timers.tick(1_000);
    assert.deepEqual([sat.length, sat[2] === late], [3, true]);
    const last = begin();
    now = 25_000;
    mock.timers.tick(1_000);
    assert.equal(sat[3] === last, true, 'after the list was empty, too');
    answers.close();
  });
});
