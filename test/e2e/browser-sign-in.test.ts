// What people do to a sign-in with a real browser: several tabs, back, double click, bookmarks, waiting, restoring.
import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { launchBrowser, type TestBrowser } from '../support/browser.ts';
import { signInAtProvider } from '../support/golden-path.ts';
import { skipWithout } from '../support/parts.ts';
import { type SignInWorld, startSignInWorld } from '../support/signed-in.ts';
import { createMovableClock } from '../support/test-server.ts';

const TRANSACTION_MS = 600_000;

describe('a sign-in in a real browser', { skip: skipWithout('chromium') }, () => {
  const clock = createMovableClock();
  let app: Server;
  let world: SignInWorld;
  let browser: TestBrowser;
  let page: Page;

  before(async () => {
    app = await startApplication();
    const url = `http://127.0.0.1:${(app.address() as AddressInfo).port}`;
    world = await startSignInWorld({
      clock,
      routes: {
        version: 1,
        services: { app: { urls: [url], token: { source: 'none' } } },
        routes: [
          { id: 'app', paths: ['/app/*'], target_service: 'app' },
          { id: 'home', paths: ['/'], target_service: 'app', auth: 'none' },
        ],
      },
    });
    browser = await launchBrowser();
  });
  after(async () => {
    await browser?.close();
    await world?.close();
    app?.close();
  });
  beforeEach(async () => {
    page = (await browser.newPage()).page;
  });
  afterEach(async () => {
    for (const open of browser.context.pages()) await open.close();
    await browser.context.clearCookies();
  });

  const at = (path: string): string => `${world.base}${path}`;
  const heading = async (tab: Page): Promise<string> => (await tab.locator('h1').first().textContent()) ?? '';
  const isSignedIn = async (tab: Page, path: string): Promise<void> => {
    await tab.waitForURL(at(path));
    assert.equal(await heading(tab), `alice at ${path}`);
  };
  const signInFrom = async (tab: Page, path: string): Promise<void> => {
    await tab.goto(at(path));
    await signInAtProvider(tab, 'alice');
    await isSignedIn(tab, path);
  };

  test('begun in three tabs at once, each tab ends on its own page', async () => {
    const tabs = [page, (await browser.newPage()).page, (await browser.newPage()).page];
    await Promise.all(tabs.map((tab, index) => tab.goto(at(`/app/${index}`))));
    for (const tab of tabs) await tab.locator('#username').waitFor();
    for (const [index, tab] of [...tabs.entries()].reverse()) {
      await signInAtProvider(tab, 'alice');
      await isSignedIn(tab, `/app/${index}`);
    }
    for (const [index, tab] of tabs.entries()) {
      await tab.reload();
      await isSignedIn(tab, `/app/${index}`);
    }
  });

  test('a double click on the sign-in button signs in once', async () => {
    await page.goto(at('/app/double'));
    await page.locator('#username').fill('alice');
    await page.locator('#password').fill('alice');
    await page.locator('#sign-in').dblclick({ noWaitAfter: true });
    await page.waitForURL((url) => url.hostname === 'localhost' || url.pathname.includes('/interaction/'));
    const allow = page.locator('#allow');
    await Promise.race([allow.waitFor(), page.waitForURL(at('/app/double'))]);
    if (await allow.isVisible().catch(() => false)) await allow.dblclick({ noWaitAfter: true });
    await isSignedIn(page, '/app/double');
  });

  test('a double click on a link to the sign-in leads to one that works', async () => {
    await page.goto(at('/'));
    await page.locator('#login').dblclick({ noWaitAfter: true });
    await page.locator('#username').waitFor();
    await signInAtProvider(page, 'alice');
    await isSignedIn(page, '/app/link');
  });

  test('after the sign-out the back button shows no page of the user, and a new sign-in works', async () => {
    await signInFrom(page, '/app/private');
    await page.goto(at('/auth/logout'));
    await page.waitForURL((url) => url.origin === world.provider.issuer);
    await page.locator('#sign-out').click();
    await page.locator('#username').waitFor();
    for (let steps = 0; steps < 6; steps += 1) {
      await page.goBack({ waitUntil: 'load' }).catch(() => undefined);
      const text = await page.locator('body').innerText();
      assert.doesNotMatch(text, /alice at/, `${steps + 1} steps back: ${page.url()}`);
    }
    await signInFrom(page, '/app/private');
  });

  test('a bookmark of the sign-in page of the provider ends on a page that helps, and from there signed in', async () => {
    await page.goto(at('/app/first'));
    const bookmark = page.url();
    await signInAtProvider(page, 'alice');
    await isSignedIn(page, '/app/first');
    await browser.context.clearCookies({ domain: 'localhost' });
    await page.goto(bookmark);
    // The provider no longer knows that sign-in, and says so; ours is not involved.
    assert.doesNotMatch(await page.locator('body').innerText(), /alice at/);
    await signInFromKnown(page, '/app/second');
  });

  test('a bookmark of /auth/login signs in and ends at home; signed in already, it ends there too', async () => {
    await page.goto(at('/auth/login'));
    await signInAtProvider(page, 'alice');
    await page.waitForURL(at('/'));
    await page.goto(at('/auth/login'));
    await page.waitForURL(at('/'));
  });

  test('a restored tab on the answer of the provider goes on to the page; signed out, to a page with a way on', async () => {
    const answers: string[] = [];
    page.on('request', (request) => {
      if (request.url().startsWith(at('/auth/callback?'))) answers.push(request.url());
    });
    await signInFrom(page, '/app/restored');
    const [answer = ''] = answers;
    await page.goto(answer);
    assert.equal(new URL(page.url()).pathname, '/', 'signed in already: home');
    await browser.context.clearCookies({ domain: 'localhost' });
    const response = await page.goto(answer);
    assert.equal(response?.status(), 400);
    assert.equal(await heading(page), 'Sign-in not found');
    await page.locator('a.button.primary').click();
    await page.waitForURL(at('/'));
  });

  test('a tab restored without its session cookie signs in again by itself and comes back', async () => {
    await signInFrom(page, '/app/deep?tab=2');
    await browser.context.clearCookies({ domain: 'localhost' });
    await page.reload();
    await isSignedIn(page, '/app/deep?tab=2');
  });

  test('a sign-in that was left open too long says so, and one click later the user is on the page that was wanted', async () => {
    await page.goto(at('/app/late'));
    clock.advance(TRANSACTION_MS + 60_000);
    await page.locator('#username').fill('alice');
    await page.locator('#password').fill('alice');
    await page.locator('#sign-in').click();
    const allow = page.locator('#allow');
    await Promise.race([allow.waitFor(), page.waitForURL((url) => url.hostname === 'localhost')]);
    if (await allow.isVisible().catch(() => false)) await allow.click();
    await page.waitForURL((url) => url.pathname === '/auth/callback');
    assert.equal(await heading(page), 'Sign-in expired');
    await page.locator('a.button.primary').click();
    await isSignedIn(page, '/app/late');
  });

  test('the back button after the sign-in leads out of it and not into a loop', async () => {
    await page.goto(at('/'));
    await page.locator('#login').click();
    await signInAtProvider(page, 'alice');
    await isSignedIn(page, '/app/link');
    for (let steps = 0; steps < 4; steps += 1) await page.goBack({ waitUntil: 'load' }).catch(() => undefined);
    await page.goto(at('/app/again'));
    await isSignedIn(page, '/app/again');
  });

  /** The provider knows the person: it asks nothing. */
  async function signInFromKnown(tab: Page, path: string): Promise<void> {
    await tab.goto(at(path));
    await isSignedIn(tab, path);
  }
});

/** Greets whom the headers name. */
function startApplication(): Promise<Server> {
  const server = createServer((request, response) => {
    const who = request.headers['x-user-username'] ?? 'nobody';
    response.setHeader('content-type', 'text/html');
    response.end(
      `<!doctype html><title>App</title><h1>${who} at ${request.url}</h1><a id="login" href="/auth/login?return_to=/app/link">Sign in</a>`,
    );
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
