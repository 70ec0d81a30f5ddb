import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { goodHandshake } from '../proxy/websocket-world.ts';
import {
  call,
  codeOf,
  type ProxyWorld,
  startProxyWorld,
  startService,
  type TestAnswer,
  type TestService,
} from '../proxy/world.ts';
import { launchBrowser } from '../support/browser.ts';
import { ask, CookieBox, setCookies, signInWith } from '../support/compat.ts';
import { asTraefik } from '../support/gateway.ts';
import { skipWithout } from '../support/parts.ts';
import { type CookieJar, createCookieJar, signInAtProvider } from '../support/provider.ts';
import { MFA, stepUpProvider } from '../support/step-up-provider.ts';

const ASKED = `acr_values=${encodeURIComponent(MFA)}`;
const HOUR_MS = 3_600_000;
const AS_PERSON = {
  accept: 'text/html',
  'sec-fetch-site': 'none',
  'sec-fetch-mode': 'navigate',
  'sec-fetch-dest': 'document',
};

let service: TestService;
let world: ProxyWorld;

async function startWorld(provider: object): Promise<ProxyWorld> {
  const own = { target_service: 'api' };
  return startProxyWorld({
    services: { api: { urls: [service.url], token: { source: 'session' } } },
    routes: [
      { id: 'page', paths: ['/page/*'], ...own },
      { id: 'admin', paths: ['/admin/*'], step_up: { acr: [MFA] }, ...own },
      { id: 'fresh', paths: ['/fresh/*'], step_up: { max_age: '30m' }, ...own },
      { id: 'socket', paths: ['/socket'], step_up: { acr: [MFA], max_age: '1h' }, websocket: {}, ...own },
      { id: 'dashboard', paths: ['/dashboard/*'], step_up: { acr: [MFA, 'gold'], max_age: '8h' } },
    ],
    settings: { trusted_proxies: ['127.0.0.1/32'], session: { idle: '2h' } },
    provider,
    accessTokenTtlS: 7_200,
  });
}

before(async () => {
  service = await startService((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(`<title>${request.url}</title><p id="where">${request.url}</p>`);
  });
  world = await startWorld(await stepUpProvider());
});

after(async () => {
  await world.close();
  await service.close();
});

const challengeOf = (answer: TestAnswer): string => String(answer.headers['www-authenticate']);
const loginUrlOf = ({ body }: TestAnswer): string => (JSON.parse(body.toString()) as { login_url: string }).login_url;

/** Go where a step-up leads, through the provider, and back. */
async function follow(box: CookieBox, jar: CookieJar, location: string): Promise<TestAnswer> {
  const { pathname, search } = new URL(location);
  const login = await ask(world.port, box, `${pathname}${search}`, { headers: AS_PERSON });
  assert.equal(login.status, 302, login.body.toString());
  const callback = await signInAtProvider(jar, login.headers.location ?? '', 'alice', 'alice');
  return ask(world.port, box, `${callback.pathname}${callback.search}`, { headers: AS_PERSON });
}

async function signedIn(): Promise<CookieBox> {
  const box = new CookieBox();
  await signInWith(world.port, box, 'alice');
  return box;
}

describe('a route that asks for a stronger sign-in', () => {
  test('tells a script what is missing (RFC 9470), and a person to sign in so, who comes back', async () => {
    const box = await signedIn();
    assert.equal((await ask(world.port, box, '/page/x')).status, 200);
    const refused = await ask(world.port, box, '/admin/x?tab=1');
    assert.deepEqual([refused.status, codeOf(refused)], [401, 'insufficient_user_authentication']);
    assert.equal(
      challengeOf(refused),
      `Bearer realm="sallyport", error="insufficient_user_authentication", acr_values="${MFA}"`,
    );
    assert.equal(loginUrlOf(refused), `${world.origin}/auth/login?${ASKED}`);
    const person = await ask(world.port, box, '/admin/x?tab=1', { headers: AS_PERSON });
    const returnTo = encodeURIComponent(`${world.origin}/admin/x?tab=1`);
    assert.deepEqual(
      [person.status, person.headers.location],
      [302, `${world.origin}/auth/login?return_to=${returnTo}&${ASKED}`],
    );
    const back = await follow(box, createCookieJar(), person.headers.location ?? '');
    assert.deepEqual([back.status, back.headers.location], [302, `${world.origin}/admin/x?tab=1`]);
    assert.equal((await ask(world.port, box, '/admin/x?tab=1')).status, 200);
    const post = await ask(world.port, box, '/admin/x', {
      method: 'POST',
      headers: { origin: world.origin, 'x-csrf': '1' },
      body: '{}',
    });
    assert.equal(post.status, 200);
  });

  test('asks again when the sign-in has become too old', async () => {
    const box = await signedIn();
    assert.equal((await ask(world.port, box, '/fresh/x')).status, 200);
    world.advanceMs(HOUR_MS);
    const refused = await ask(world.port, box, '/fresh/x');
    assert.match(challengeOf(refused), /error="insufficient_user_authentication", max_age=1800$/);
    assert.equal(loginUrlOf(refused), `${world.origin}/auth/login?max_age=1800`);
    world.advanceMs(-HOUR_MS);
  });

  test('refuses a weak handshake with the same challenge, without a redirect', async () => {
    const box = await signedIn();
    const headers = goodHandshake(world.origin, box.header('/socket'));
    const refused = await call({ port: world.port, path: '/socket', headers });
    assert.deepEqual([refused.status, codeOf(refused)], [401, 'insufficient_user_authentication']);
    assert.match(challengeOf(refused), /acr_values="urn:example:mfa", max_age=3600$/);
  });

  test('is kept by verify as by the proxy', async () => {
    const box = await signedIn();
    const forwarded = asTraefik(world.origin, '/dashboard/x');
    const refused = await ask(world.port, box, '/auth/verify', { headers: forwarded });
    assert.deepEqual([refused.status, codeOf(refused)], [401, 'insufficient_user_authentication']);
    assert.match(challengeOf(refused), /acr_values="urn:example:mfa gold", max_age=28800$/);
    const query = `acr_values=${encodeURIComponent(`${MFA} gold`)}&max_age=28800`;
    assert.equal(loginUrlOf(refused), `${world.origin}/auth/login?${query}`);
    const person = await ask(world.port, box, '/auth/verify', { headers: { ...forwarded, ...AS_PERSON } });
    assert.equal(person.status, 302);
    await follow(box, createCookieJar(), person.headers.location ?? '');
    assert.equal((await ask(world.port, box, '/auth/verify', { headers: forwarded })).status, 200);
  });
});

test('a provider that ignores what it is asked for ends on a page that says so; the session goes on', async () => {
  const deaf = await startWorld({});
  try {
    const box = new CookieBox();
    await signInWith(deaf.port, box, 'alice');
    const session = box.get('bff_session');
    const login = await ask(deaf.port, box, `/auth/login?return_to=/admin/x&${ASKED}`, { headers: AS_PERSON });
    const callback = await signInAtProvider(createCookieJar(), login.headers.location ?? '', 'alice', 'alice');
    const ended = await ask(deaf.port, box, `${callback.pathname}${callback.search}`, { headers: AS_PERSON });
    assert.deepEqual([ended.status, ended.headers.location], [401, undefined]);
    assert.match(ended.body.toString(), /not in the stronger way that the page asks for/);
    assert.ok(!setCookies(ended).some((line) => line.startsWith('bff_session=')), 'no new session');
    assert.equal(box.get('bff_session'), session);
    assert.equal((await ask(deaf.port, box, '/page/x')).status, 200);
    assert.equal((await ask(deaf.port, box, '/admin/x')).status, 401);
  } finally {
    await deaf.close();
  }
});

test('a browser steps up and is back on the page', { skip: skipWithout('chromium') }, async () => {
  const browser = await launchBrowser();
  try {
    const { page } = await browser.newPage();
    const signIn = async (): Promise<void> => {
      await page.fill('input[name=username]', 'alice');
      await page.fill('input[name=password]', 'alice');
      await page.click('button[type=submit]');
      const agree = page.locator('form[action$="/confirm"] button');
      const arrived = page.waitForURL(`${world.origin}/**`);
      await Promise.race([arrived, agree.first().waitFor()]);
      if (!page.url().startsWith(world.origin)) await agree.first().click();
      await arrived;
    };
    await page.goto(`${world.origin}/page/start`);
    await signIn();
    assert.equal(await page.textContent('#where'), '/page/start');
    await page.goto(`${world.origin}/admin/secret?tab=2`);
    assert.ok(page.url().startsWith(world.issuer), 'the provider asks again, although it knows the user');
    await signIn();
    assert.equal(page.url(), `${world.origin}/admin/secret?tab=2`);
    assert.equal(await page.textContent('#where'), '/admin/secret?tab=2');
    await page.goto(`${world.origin}/page/other`);
    assert.equal(await page.textContent('#where'), '/page/other', 'no further sign-in');
    await page.goBack();
    assert.equal(await page.textContent('#where'), '/admin/secret?tab=2');
  } finally {
    await browser.close();
  }
});
