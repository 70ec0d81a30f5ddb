// Cross-site requests as a browser really sends them: Chromium, a real Traefik with https, a page of a foreign site,
// one of a sister host that is not listed, and one of a host that is.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { startDemoProvider } from '../../src/cli/demo/provider.ts';
import { launchBrowser, type TestBrowser } from '../support/browser.ts';
import { startExampleTraefik } from '../support/docs-traefik.ts';
import { signInAtProvider } from '../support/golden-path.ts';
import { answerJson, type MisbehavingService, startMisbehavingService } from '../support/misbehaving-service.ts';
import { skipWithout } from '../support/parts.ts';
import { findFreePorts } from '../support/ports.ts';
import { type LogLine, startTestServer, type TestServer } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const APP = 'https://app.example.test';
/** On the list. Same site as the app, another origin. */
const LISTED = 'https://admin.example.test';
/** Not on the list. Same site as the app: browsers send it the cookie. */
const SISTER = 'https://blog.example.test';
/** Another site. */
const EVIL = 'https://evil.test';

const PROOF = { 'x-csrf': '1', 'content-type': 'application/json' };
const FLAGS = [
  '--entryPoints.websecure.http.tls=true',
  '--global.checkNewVersion=false',
  '--global.sendAnonymousUsage=false',
];

type Closer = { close(): Promise<void> };

/** What a script sends, besides the credentials. */
type Init = Partial<Record<'method' | 'body', string>> & { headers?: Record<string, string>; mode?: 'no-cors' };

/** What a script of a page gets: the answer, an answer that it may not look into, or nothing. */
type Read = { readonly status?: number; readonly body?: string; readonly type?: string; readonly refused?: string };

for (const mode of ['header', 'token'] as const) {
  const title = `cross-site requests in a browser, csrf.mode ${mode}`;
  describe(title, { skip: skipWithout('chromium', 'traefik') }, () => testMode(mode));
}

function testMode(mode: 'header' | 'token'): void {
  const started: Closer[] = [];
  let server: TestServer;
  let service: MisbehavingService;
  let browser: TestBrowser;
  let stranger: TestBrowser;
  let proof: Record<string, string> = PROOF;

  before(async () => {
    const keep = <T extends Closer>(part: T): T => {
      started.unshift(part);
      return part;
    };
    service = keep(await startMisbehavingService(answerJson({ secret: 'of the service' })));
    server = await startServers(keep, service, mode);
    const port = (await startFront(keep, server)).websecure;
    const hosts = ['*.example.test', 'evil.test'].map((host) => `MAP ${host}:443 127.0.0.1:${port}`);
    const options = { ignoreHTTPSErrors: true, hostRules: hosts.join(',') };
    browser = keep(await launchBrowser(options));
    stranger = keep(await launchBrowser(options));
    const { page } = await browser.newPage();
    await page.goto(`${APP}/auth/login?return_to=%2Fapi%2Fusers%2F1`);
    await signInAtProvider(page, 'alice', 'app.example.test');
    if (mode === 'token') proof = { ...PROOF, 'x-csrf': await readToken(page, browser) };
    await page.close();
  });

  after(async () => {
    for (const part of started) await part.close();
  });

  beforeEach(() => assertSignedIn());

  /** A page of an origin. */
  async function open(origin: string, by = browser): Promise<Page> {
    const { page } = await by.newPage();
    await page.goto(`${origin}/page`);
    return page;
  }

  /** The requests that reached the proxy and the service meanwhile. */
  async function watch<T>(
    run: () => Promise<T>,
  ): Promise<{ readonly result: T; readonly seen: string[]; readonly served: number }> {
    const lines = server.log.length;
    const before = service.requests('/api/users/1').length;
    const result = await run();
    const seen = describeRequests(server.log.slice(lines));
    return { result, seen, served: service.requests('/api/users/1').length - before };
  }

  async function assertSignedIn(): Promise<void> {
    const page = await open(LISTED);
    const { body = '' } = await ask(page, '/api/auth/session');
    assert.match(body, /"authenticated":true/);
    await page.close();
  }

  test('the page of an allowed origin reads, and writes with the proof, after a preflight', async () => {
    const page = await open(LISTED);
    const read = await watch(() => ask(page, '/api/users/1'));
    assert.deepEqual(read.result, { status: 200, body: '{"secret":"of the service"}', type: 'cors' });
    const written = await watch(() => ask(page, '/api/users/1', { method: 'POST', headers: proof, body: '{}' }));
    assert.equal(written.result.status, 200);
    assert.deepEqual(written.seen, ['OPTIONS /api/users/1 204', 'POST /api/users/1 200']);
    assert.equal(written.served, 1);
  });

  test('the page of an allowed origin can read why it is refused: 401, 403, 404, 413, 429, 502', async () => {
    const page = await open(LISTED);
    assert.equal((await ask(page, '/api/limited/1')).status, 200);
    const large = { method: 'POST', headers: proof, body: 'x'.repeat(2_048) };
    const refusals: readonly (readonly [Page, string, Init, string])[] = [
      [page, '/api/users/1', { method: 'POST', body: '{}' }, '403 csrf_failed'],
      [page, '/api/users/1', { method: 'POST', headers: { 'x-csrf': 'k1.guess' }, body: '{}' }, '403 csrf_failed'],
      [page, '/api/admin/1', {}, '403 access_denied'],
      [page, '/auth/unknown', {}, '404 not_found'],
      [page, '/api/small/1', large, '413 body_too_large'],
      [page, '/api/limited/1', {}, '429 rate_limited'],
      [page, '/api/down/1', {}, '502 service_connect_failed'],
      [await open(LISTED, stranger), '/api/users/1', {}, '401 authentication_required'],
    ];
    for (const [from, path, init, expected] of refusals) {
      const { result, served } = await watch(() => ask(from, path, init));
      const { code, login_url: loginUrl } = JSON.parse(result.body ?? '{}') as Record<string, string>;
      assert.equal(`${result.status} ${code}`, expected);
      assert.equal(served, 0);
      if (result.status === 401) assert.equal(loginUrl, `${APP}/auth/login`);
    }
  });

  for (const [name, origin] of Object.entries({ 'another site': EVIL, 'a sister host': SISTER })) {
    test(`a preflight of ${name} is denied, and the request never leaves the browser`, async () => {
      const page = await open(origin);
      for (const init of [
        { method: 'POST', headers: PROOF, body: '{}' },
        { method: 'DELETE' },
        { headers: { authorization: 'Bearer x' } },
      ]) {
        const { result, seen, served } = await watch(() => ask(page, '/api/users/1', init));
        assert.deepEqual(result, { refused: 'TypeError' });
        assert.deepEqual(seen, ['OPTIONS /api/users/1 403 origin_not_allowed']);
        assert.equal(served, 0);
      }
    });

    test(`a read by a page of ${name} gives nothing, and reaches no service`, async () => {
      const page = await open(origin);
      for (const path of ['/api/users/1', '/api/auth/session']) {
        const { result, served } = await watch(() => ask(page, path));
        assert.deepEqual(result, { refused: 'TypeError' }, path);
        assert.equal(served, 0);
      }
      const opaque = await watch(() => ask(page, '/api/users/1', { mode: 'no-cors' }));
      // Cross-Origin-Resource-Policy: not even an answer that cannot be looked into.
      assert.deepEqual(opaque.result, { refused: 'TypeError' });
      assert.equal(opaque.served, 0);
    });
  }

  // SameSite=Lax keeps the cookie from a POST of another site. A sister host is the same site: there it is the Origin.
  for (const [name, origin, expected] of [
    ['another site comes without the cookie', EVIL, '401 authentication_required'],
    ['a sister host comes with the cookie and is refused', SISTER, '403 csrf_failed'],
  ] as const) {
    test(`a POST without a preflight of ${name}`, async () => {
      const page = await open(origin);
      for (const init of [
        { method: 'POST', body: '{"a":1}' },
        { method: 'POST', body: '{"a":1}', mode: 'no-cors' },
      ] as const) {
        const { result, seen, served } = await watch(() => ask(page, '/api/users/1', init));
        assert.deepEqual(result, { refused: 'TypeError' });
        assert.deepEqual(seen, [`POST /api/users/1 ${expected}`]);
        assert.equal(served, 0);
      }
    });

    test(`a form of ${name}`, async () => {
      for (const path of ['/api/users/1', '/auth/logout?everywhere=true']) {
        const page = await open(origin);
        const { served } = await watch(() => submitForm(page, `${APP}${path}`));
        assert.equal(served, 0);
        assert.match(page.url(), /^https:\/\/app\.example\.test\//);
        await assertSignedIn();
      }
    });

    test(`sign-out as an image or a frame of ${name.replace(/ comes.*/, '')} ends no session`, async () => {
      const page = await open(origin);
      await embed(page, `${APP}/auth/logout`);
      await assertSignedIn();
      await page.close();
    });
  }

  test('a link of another site to the sign-out meets a page that asks first', async () => {
    const page = await open(EVIL);
    await Promise.all([page.waitForURL(`${APP}/auth/logout`), page.evaluate(`location.href = '${APP}/auth/logout'`)]);
    assert.match(await page.locator('main').innerText(), /Nothing has happened yet/);
    await assertSignedIn();
  });

  test('a link of another site carries the cookie (SameSite=Lax) and reads as the user, changing nothing', async () => {
    const page = await open(EVIL);
    const { served } = await watch(async () => {
      await page.evaluate(`location.href = '${APP}/api/users/1'`);
      await page.waitForURL(`${APP}/api/users/1`);
    });
    assert.equal(served, 1);
    assert.equal(service.requests('/api/users/1').at(-1)?.method, 'GET');
    const cookie = (await browser.context.cookies(APP)).find(({ name: cookieName }) => cookieName === 'bff_session');
    assert.deepEqual([cookie?.sameSite, cookie?.secure, cookie?.httpOnly], ['Lax', true, true]);
  });
}

/** fetch with credentials, in the page. */
function ask(page: Page, path: string, init: Init = {}): Promise<Read> {
  return page.evaluate(
    async ([url, options]): Promise<Read> => {
      try {
        const answer = await fetch(url, { credentials: 'include', ...options });
        return { status: answer.status, body: await answer.text(), type: answer.type };
      } catch (error) {
        return { refused: (error as Error).name };
      }
    },
    [`${APP}${path}`, init] as const,
  );
}

async function submitForm(page: Page, action: string): Promise<void> {
  await Promise.all([
    page.waitForURL(`${APP}/**`),
    page.evaluate(`document.body.innerHTML = '<form method="post" action="${action}"><input name="a" value="1"></form>';
      document.forms[0].submit()`),
  ]);
}

/** Ask for an address as an image and as a frame, and wait until both are through. */
async function embed(page: Page, address: string): Promise<void> {
  await page.evaluate(`Promise.all(['img', 'iframe'].map((tag) => new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = element.onerror = resolve;
    element.src = '${address}';
    document.body.append(element);
  })))`);
}

/** Method, path and status of each request, and the code of a refusal, which has a line of its own. */
function describeRequests(lines: readonly LogLine[]): string[] {
  const requests = lines.filter(({ msg, path }) => msg === 'request' && path !== '/favicon.ico');
  return requests.map((line) => {
    const { request_id: id, method, path, status } = line;
    const refusal = lines.find((other) => other !== line && other['request_id'] === id && 'code' in other);
    return `${method} ${path} ${status} ${refusal?.['code'] ?? ''}`.trim();
  });
}

/** The token, which the answer for scripts and the readable cookie agree on. */
async function readToken(page: Page, { context }: TestBrowser): Promise<string> {
  // From the sign-in on: nobody has asked for it yet.
  const cookie = (await context.cookies(APP)).find(({ name }) => name === 'bff_csrf');
  const { body = '' } = await ask(page, '/api/auth/session');
  const { csrf_token: token } = JSON.parse(body) as { csrf_token: string };
  assert.deepEqual([cookie?.value, cookie?.httpOnly, cookie?.secure, cookie?.sameSite], [token, false, true, 'Lax']);
  assert.equal(await page.evaluate('document.cookie'), `bff_csrf=${token}`);
  return token;
}

/** Sallyport with one foreign origin on its list, in front of a service, and a provider to sign in at. */
async function startServers(
  keep: <T extends Closer>(part: T) => T,
  { url }: MisbehavingService,
  mode: 'header' | 'token',
): Promise<TestServer> {
  const client = { client_id: 'bff', client_secret: randomBytes(24).toString('base64url') };
  const provider = keep(await startDemoProvider({ clients: [{ ...client, redirect_uris: [`${APP}/auth/callback`] }] }));
  const clientAuth = { secret: client.client_secret };
  const main = { issuer: provider.issuer, client_id: 'bff', client_auth: clientAuth, scopes: ['openid', 'profile'] };
  const route = (id: string, rest: object = {}): object => ({
    id,
    paths: [`/api/${id}/*`],
    target_service: 'api',
    ...rest,
  });
  const server = keep(
    await startTestServer({
      settings: { sites: { main: { public_url: APP, origins: [LISTED] } }, csrf: { mode } },
      idps: { version: 1, providers: { main } },
      routes: {
        version: 1,
        services: { api: { urls: [url] }, down: { urls: [`http://127.0.0.1:${await findFreePorts(1)}`] } },
        routes: [
          route('users'),
          route('admin', { roles: ['nobody-has-it'] }),
          route('small', { max_body: '1KiB' }),
          route('limited', { rate_limit: { average: 1, period: '1h', burst: 1, key: 'session' } }),
          route('down', { target_service: 'down' }),
        ],
      },
    }),
  );
  await server.whenReady();
  return server;
}

/** Traefik with https for every host: the app's goes to Sallyport, all others to a server of empty pages. */
async function startFront(
  keep: <T extends Closer>(part: T) => T,
  server: TestServer,
): Promise<{ readonly websecure: number }> {
  const page = keep(
    await startMisbehavingService((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>page</title><body>');
    }),
  );
  const to = (url: string): object => ({ loadBalancer: { servers: [{ url }] } });
  const traefik = keep(
    await startExampleTraefik(FLAGS, {
      http: {
        routers: {
          app: { rule: 'Host(`app.example.test`)', entryPoints: ['websecure'], service: 'app', priority: 10 },
          spa: { rule: 'PathPrefix(`/`)', entryPoints: ['websecure'], service: 'page', priority: 1 },
        },
        services: { app: to(`http://127.0.0.1:${server.ports.public}`), page: to(page.url) },
      },
    }),
  );
  await until(async () => (await traefik.report('routers')).length > 1, 'routers');
  return traefik;
}
