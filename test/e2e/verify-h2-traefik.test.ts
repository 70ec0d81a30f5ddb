// A real Traefik that asks verify over HTTP/2: what reaches the service, what the client sees, how many connections.
import assert from 'node:assert/strict';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import {
  type ExampleTraefik,
  type NamedServer,
  startExampleTraefik,
  startNamedServer,
} from '../support/docs-traefik.ts';
import { LISTEN_H2, TEST_TLS } from '../support/h2.ts';
import { skipWithout } from '../support/parts.ts';
import { type CookieJar, fetchWithJar } from '../support/provider.ts';
import { type SignInWorld, startSignInWorld } from '../support/signed-in.ts';

type Answer = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly body: string };

const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', accept: 'text/html' };
const IDENTITY = ['Authorization', 'X-User-Id', 'X-User-Username'];

for (const [name, tls] of [
  ['with its certificate authority', { ca: TEST_TLS.certFile }],
  ['without checking the certificate', { insecureSkipVerify: true }],
] as const) {
  describe(`Traefik asks verify over HTTP/2, ${name}`, { skip: skipWithout('traefik') }, () => describeTraefik(tls));
}

function describeTraefik(tls: object): void {
  let world: SignInWorld;
  let traefik: ExampleTraefik;
  let app: NamedServer;
  let jar: CookieJar;

  before(async () => {
    app = await startNamedServer('app');
    world = await startSignInWorld({ settings: { listen: { verify_h2: LISTEN_H2 } } });
    const address = `https://127.0.0.1:${world.server.ports.verifyH2}/auth/verify`;
    const router = { rule: 'PathPrefix(`/`)', entryPoints: ['web'], service: 'app', middlewares: ['sign-in'] };
    traefik = await startExampleTraefik([], {
      http: {
        routers: { spa: router },
        middlewares: { 'sign-in': { forwardAuth: { address, tls, authResponseHeaders: IDENTITY } } },
        services: { app: { loadBalancer: { servers: [{ url: app.url }] } } },
      },
    });
    jar = await world.signIn('alice');
  });
  after(async () => {
    await traefik?.close();
    await world?.close();
    await app?.close();
  });

  const ask = (path: string, headers: Record<string, string> = {}, agent?: Agent): Promise<Answer> =>
    visit(traefik.web, path, { host: new URL(world.base).host, ...headers }, agent);
  const cookie = (): Record<string, string> => ({
    cookie: [...jar.cookies].map(([key, value]) => `${key}=${value}`).join('; '),
  });

  test('signed in: the service knows the user', async () => {
    const answer = await ask('/page?a=1', { ...cookie(), 'x-user-id': 'forged' });
    assert.deepEqual([answer.status, answer.body], [200, 'app'], traefik.log());
    const seen = app.last() ?? {};
    assert.deepEqual([seen['x-user-id'], seen['x-user-username']], ['u-1001', 'alice']);
    assert.match(seen.authorization ?? '', /^Bearer ey/);
  });

  test('signed out: 401 for a script, 302 to the login for a person', async () => {
    const script = await ask('/page');
    assert.equal(script.status, 401);
    assert.equal(script.headers['content-type'], 'application/problem+json');
    const person = await ask('/page?a=1', NAVIGATION);
    assert.equal(person.status, 302);
    const target = encodeURIComponent(`${world.base}/page?a=1`);
    assert.equal(person.headers.location, `${world.base}/auth/login?return_to=${target}`);
  });

  test('64 clients at once are verified over a handful of connections', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 64 });
    const { server } = world;
    const asked = await server.metric('sallyport_verify_allowed_total');
    const quiet = await server.metric('sallyport_connections');
    const open: number[] = [];
    const client = async (): Promise<void> => {
      for (let n = 0; n < 20; n++) {
        const { status } = await ask(`/page/${n}`, cookie(), agent);
        assert.equal(status, 200);
        if (n === 10) open.push(await server.metric('sallyport_connections'));
      }
    };
    await Promise.all(Array.from({ length: 64 }, client));
    agent.destroy();
    assert.equal(await server.metric('sallyport_verify_allowed_total'), asked + 64 * 20);
    // Those that ask for the number come over HTTP/1.1, each on its own connection.
    const own = (await server.metric('sallyport_requests_in_flight')) - 1;
    assert.ok(Math.min(...open) - quiet - own <= 8, `${Math.min(...open)} connections, ${quiet} before`);
    assert.doesNotMatch(traefik.log(), / ERR /);
  });

  test('a body does not disturb verify', async () => {
    const headers = { host: new URL(world.base).host, origin: world.base, ...cookie() };
    const { status, body } = await visit(traefik.web, '/page', headers, undefined, 'x=1');
    assert.deepEqual([status, body], [200, 'app']);
    const foreign = { ...headers, origin: 'https://evil.example' };
    assert.equal((await visit(traefik.web, '/page', foreign, undefined, 'x=1')).status, 403);
  });

  test('after the sign-out: 401', async () => {
    const before = cookie();
    const logout = await fetchWithJar(jar, `${world.base}/auth/logout`, {
      method: 'POST',
      headers: { origin: world.base, accept: 'application/json' },
    });
    assert.equal(logout.status, 200);
    assert.equal((await ask('/page', before)).status, 401);
  });
}

/** One request through Traefik. @param body makes it a POST. */
function visit(
  port: number,
  path: string,
  headers: Record<string, string>,
  agent?: Agent,
  body?: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST';
    const options = { host: '127.0.0.1', port, path, headers, method, agent: agent ?? false };
    const outgoing = request(options, (incoming) => {
      let text = '';
      incoming.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text }));
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
