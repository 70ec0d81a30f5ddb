// Tokens of services on their way through WebSocket handshakes: each source, each place (D-30, SPEC §9).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { type SocketService, startSocketService } from '../proxy/websocket-world.ts';
import type { CookieJar } from '../support/provider.ts';
import { AUDIENCES, NOBODY, startTokenWorld, type TokenWorld } from './service-token-world.ts';

const DEMO_AUDIENCE = 'https://api.demo.example';
const SOURCES = {
  exchange: { audience: AUDIENCES.crud, scopes: ['api.read'], token: { source: 'exchange' } },
  refresh: { audience: AUDIENCES.analytics, scopes: ['api.read'], token: { source: 'refresh' } },
  client_credentials: {
    audience: AUDIENCES.pdp,
    scopes: ['api.read'],
    token: { source: 'client_credentials', idp: 'main' },
  },
  session: { audience: DEMO_AUDIENCE, token: { source: 'session' } },
  none: { token: { source: 'none' } },
} as const;
type Source = keyof typeof SOURCES;
const AUTHORIZATION = 'authorization';
const COOKIE = 'cookie:svc_jwt';

describe('a WebSocket handshake', () => {
  let world: TokenWorld;
  let sockets: SocketService;

  before(async () => {
    sockets = await startSocketService();
    const names = Object.keys(SOURCES) as Source[];
    const route = (name: Source, token_in: string, place: string, auth = 'session') => ({
      id: `${place}-${name}`,
      paths: [`/${place}/${name}`],
      target_service: `ws-${name}`,
      auth,
      websocket: { token_in },
    });
    world = await startTokenWorld({
      services: Object.fromEntries(names.map((name) => [`ws-${name}`, { urls: [sockets.url], ...SOURCES[name] }])),
      routes: [
        ...names.map((name) => route(name, AUTHORIZATION, 'header')),
        ...names.map((name) => route(name, COOKIE, 'cookie')),
        route('session', COOKIE, 'bearer', 'any'),
        route('exchange', COOKIE, 'maybe', 'optional'),
      ],
      expectedErrors: ['idp_unavailable'],
    });
  });
  after(async () => {
    await world?.close();
    await sockets?.close();
  });

  const shake = async (
    jar: CookieJar,
    path: string,
    more: Record<string, string> = {},
  ): Promise<number | WebSocket> => {
    const own = [...jar.cookies].map(([name, value]) => `${name}=${value}`);
    // What the client claims to be the token goes nowhere.
    const cookie = [...own, 'svc_jwt=forged', 'SVC_JWT=forged', 'theme=dark'].join('; ');
    const socket = new WebSocket(`${world.base.replace('http', 'ws')}${path}`, {
      origin: world.base,
      headers: { cookie, ...more },
    });
    const status = await Promise.race([
      once(socket, 'open').then(() => 101),
      new Promise<number>((resolve) =>
        socket.on('unexpected-response', (_r, answer) => resolve(answer.statusCode ?? 0)),
      ),
    ]);
    if (status === 101) return socket;
    socket.on('error', () => {}).terminate();
    return status;
  };
  const placesOf = (): { authorization: string | undefined; cookie: string | undefined } => {
    const { authorization, cookie } = sockets.seen.at(-1)?.headers ?? {};
    return { authorization, cookie };
  };

  for (const source of ['exchange', 'refresh', 'client_credentials', 'session'] as const) {
    test(`carries a token of source ${source} in Authorization, and no claimed one`, async () => {
      const socket = (await shake(await world.signIn('alice'), `/header/${source}`)) as WebSocket;
      const { authorization = '', cookie } = placesOf();
      const { aud } = await world.exchange.verify(authorization.slice('Bearer '.length), SOURCES[source].audience);
      assert.equal([aud].flat()[0], SOURCES[source].audience);
      assert.doesNotMatch(cookie ?? '', /bff_session/);
      socket.send('x');
      assert.equal(String((await once(socket, 'message'))[0]), 'x');
      socket.terminate();
    });

    test(`carries a token of source ${source} in the cookie that the route names, and nowhere else`, async () => {
      const socket = (await shake(await world.signIn('alice'), `/cookie/${source}`)) as WebSocket;
      const { authorization, cookie = '' } = placesOf();
      assert.equal(authorization, undefined);
      const [, token = ''] =
        /^theme=dark; svc_jwt=([\w.-]+)$/.exec(cookie) ?? assert.fail(cookie.replaceAll(/eyJ\S*/g, '…'));
      await world.exchange.verify(token, SOURCES[source].audience);
      socket.terminate();
    });
  }

  test('carries none to a service that takes none, nor the cookie that a client claims', async () => {
    for (const place of ['header', 'cookie']) {
      const socket = (await shake(await world.signIn('alice'), `/${place}/none`)) as WebSocket;
      const { authorization, cookie = '' } = placesOf();
      assert.equal(authorization, undefined);
      if (place === 'cookie') assert.equal(cookie, 'theme=dark');
      socket.terminate();
    }
  });

  test('of a bearer carries the token into the cookie', async () => {
    const answer = await world.verify(await world.signIn('alice'), '');
    const authorization = answer.headers.get('authorization') ?? '';
    const socket = (await shake(NOBODY, '/bearer/session', { authorization })) as WebSocket;
    assert.deepEqual(placesOf(), {
      authorization: undefined,
      cookie: `theme=dark; svc_jwt=${authorization.slice('Bearer '.length)}`,
    });
    socket.terminate();
  });

  test('of nobody, where that is allowed, carries none', async () => {
    const socket = (await shake(NOBODY, '/maybe/exchange')) as WebSocket;
    assert.deepEqual(placesOf(), { authorization: undefined, cookie: 'theme=dark' });
    socket.terminate();
  });

  test('is refused before the service hears of it where there is no token', async () => {
    const jar = await world.signIn('bob');
    const seen = sockets.seen.length;
    world.exchange.patch = { answer: { token_type: 'N_A' } };
    assert.equal(await shake(jar, '/cookie/exchange'), 502);
    world.exchange.patch = {};
    assert.equal(sockets.seen.length, seen);
  });
});
