// The golden path as a person takes it: Chromium, a real Traefik, a real OpenID Provider, memory and Redis stores.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { DEMO_PORTS_COUNT } from '../../src/cli/demo/demo-options.ts';
import { type DemoInfo, startDemo } from '../../src/cli/demo/demo-start.ts';
import { DEMO_API_AUDIENCE, DEMO_REPORTS_AUDIENCE } from '../../src/cli/demo/provider-config.ts';
import { launchBrowser, saveScreenshot, type TestBrowser } from '../support/browser.ts';
import { askVerify, recordTraffic, signInAtProvider, signOut, type Traffic } from '../support/golden-path.ts';
import { skipWithout } from '../support/parts.ts';
import { findFreePorts } from '../support/ports.ts';
import { startRedis } from '../support/redis.ts';

/** Secrets that must never be seen outside the server. */
type Secrets = { readonly tokens: string[]; readonly idTokens: string[] };

for (const store of ['memory', 'redis'] as const) {
  const parts = store === 'redis' ? ['chromium', 'traefik', 'redis-server'] : ['chromium', 'traefik'];
  describe(`golden path through Traefik, ${store} store`, { skip: skipWithout(...parts) }, () => {
    test('sign in, call the API, open the dashboard, sign out, sign out everywhere', { timeout: 120_000 }, () =>
      walk(store),
    );
  });
}

async function walk(store: 'memory' | 'redis'): Promise<void> {
  const redis = store === 'redis' ? await startRedis() : undefined;
  const log: string[] = [];
  const secrets: Secrets = { tokens: [], idTokens: [] };
  const port = await findFreePorts(DEMO_PORTS_COUNT);
  const demo = await startDemo(
    { port, redisUrl: redis?.url, traefik: true, logLevel: 'debug' },
    { write: (line) => log.push(line) },
    { ...process.env },
    ({ body }) => collectSecrets(secrets, body as Record<string, unknown>),
  );
  const first = await launchBrowser();
  const second = await launchBrowser();
  try {
    assert.equal(demo.info.traefik_url, demo.info.url);
    const traffic = [recordTraffic(first), recordTraffic(second)];
    await firstVisit(first, demo.info);
    await secondBrowser(first, second, demo.info);
    for (const part of traffic) await part.settled();
    assertNothingLeaked(secrets, log, traffic);
    const errors = log.filter((line) => /"level":"(error|fatal)"/.test(line));
    assert.deepEqual(errors, [], 'no error line');
  } finally {
    await first.close();
    await second.close();
    await demo.close();
    await redis?.remove();
  }
}

function collectSecrets(secrets: Secrets, body: Record<string, unknown>): void {
  for (const name of ['access_token', 'refresh_token'])
    if (typeof body[name] === 'string') secrets.tokens.push(body[name]);
  if (typeof body['id_token'] === 'string') secrets.idTokens.push(body['id_token']);
}

async function firstVisit(browser: TestBrowser, info: DemoInfo): Promise<void> {
  const { page, problems } = await browser.newPage();
  assert.equal((await askVerify(browser, info)).status, 401, 'nobody is signed in yet');

  await page.goto(`${info.url}/dashboard?tab=2`);
  assert.equal(new URL(page.url()).origin, info.issuer, 'the dashboard sends a stranger to the provider');
  await signInAtProvider(page, 'alice');
  assert.equal(page.url(), `${info.url}/dashboard?tab=2`, 'back on the very page that was asked for');
  assert.match((await page.locator('#dashboard-user').textContent()) ?? '', /alice/);

  const cookie = (await browser.context.cookies(info.url)).find(({ name }) => name === 'bff_session');
  assert.ok(cookie !== undefined, 'the session cookie is there');
  assert.deepEqual(
    { httpOnly: cookie.httpOnly, sameSite: cookie.sameSite, path: cookie.path, secure: cookie.secure },
    { httpOnly: true, sameSite: 'Lax', path: '/', secure: false },
  );
  assert.match(cookie.value, /^[A-Za-z0-9_-]{43}$/);

  await page.goto(`${info.url}/`);
  await page.locator('#signed-in').waitFor();
  await page.locator('#check-worker[data-result=passed]').waitFor();
  await page.locator('#call-get').click();
  await page.locator('.result[data-status="200"]').waitFor();
  const shown = (await page.locator('.result[data-status="200"]').textContent()) ?? '';
  assert.match(shown, /x-user-username/i);
  assert.match(shown, /alice@/);
  await page.locator('#call-post').click();
  await page.locator('.result[data-status="200"]', { hasText: 'POST' }).waitFor();
  await page.locator('.good', { hasText: `token for ${DEMO_API_AUDIENCE} verified` }).waitFor();
  // The other API verifies the audience itself: the token of the first would be refused there.
  await page.locator('#call-reports').click();
  await page.locator('.good', { hasText: `token for ${DEMO_REPORTS_AUDIENCE} verified` }).waitFor();
  await mkdir('test-output', { recursive: true });
  await saveScreenshot(page, 'test-output/signed-in.png');

  const allowed = await askVerify(browser, info);
  assert.equal(allowed.status, 200);
  assert.match(allowed.headers.get('authorization') ?? '', /^Bearer eyJ/);
  assert.equal(allowed.headers.get('x-user-username'), 'alice');
  assert.equal(allowed.headers.get('set-cookie'), null);
  assert.equal(await allowed.text(), '');
  assert.deepEqual(problems, { errors: [], cspViolations: [] });
  await page.close();
}

async function secondBrowser(first: TestBrowser, second: TestBrowser, info: DemoInfo): Promise<void> {
  const other = await second.newPage();
  await other.page.goto(`${info.url}/auth/login?return_to=/%3Fhello`);
  await signInAtProvider(other.page, 'alice');
  assert.equal(other.page.url(), `${info.url}/?hello`);

  const { page, problems } = await first.newPage();
  const seen = await signOut(page, info, '#sign-out');
  assert.ok(
    seen.some((url) => url.startsWith(`${info.url}/auth/logout`)),
    'the interstitial was on the way',
  );
  assert.equal((await askVerify(first, info)).status, 401, 'the first browser is signed out');
  assert.equal((await askVerify(second, info)).status, 200, 'the second one is not');

  await signInAtProvider(page, 'alice');
  assert.equal((await askVerify(first, info)).status, 200);
  await signOut(page, info, '#sign-out-everywhere');
  assert.equal((await askVerify(first, info)).status, 401);
  assert.equal((await askVerify(second, info)).status, 401, 'signed out everywhere');
  await other.page.goto(`${info.url}/`);
  await other.page.locator('#signed-out').waitFor();
  assert.deepEqual(problems.cspViolations, []);
}

/** The ID token goes to the provider as `id_token_hint` (OpenID Connect RP-Initiated Logout §2) and nowhere else. */
function assertNothingLeaked(secrets: Secrets, log: readonly string[], traffic: readonly Traffic[]): void {
  assert.ok(secrets.tokens.length >= 6 && secrets.idTokens.length >= 3, 'the provider issued what is looked for');
  const addresses = traffic.flatMap((part) => part.addresses);
  const texts = traffic.flatMap((part) => part.texts);
  assert.ok(addresses.length > 20 && texts.length > 20, 'there was traffic to search');
  for (const secret of secrets.tokens) {
    const signature = secret.slice(-40);
    assert.ok(!log.some((line) => line.includes(signature)), 'no token in the log');
    assert.ok(!addresses.some((url) => url.includes(signature)), 'no token in an address');
    assert.ok(!texts.some((text) => text.includes(signature)), 'no token in an answer to the browser');
  }
  for (const secret of secrets.idTokens) {
    const signature = secret.slice(-40);
    assert.ok(!log.some((line) => line.includes(signature)), 'no ID token in the log');
    const elsewhere = addresses.filter(
      (url) => url.includes(signature) && new URL(url).searchParams.get('id_token_hint') !== secret,
    );
    assert.deepEqual(elsewhere, [], 'the ID token is a hint to the provider and nothing else');
  }
}
