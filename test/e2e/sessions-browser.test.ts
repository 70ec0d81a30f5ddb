// The sessions page in Chromium: one browser signs another one out, and tabs learn of a sign-out at their next call.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { type SocketService, startSocketService } from '../proxy/websocket-world.ts';
import { type ProxyWorld, startProxyWorld } from '../proxy/world.ts';
import { launchBrowser, type TestBrowser } from '../support/browser.ts';
import { signInAtProvider } from '../support/golden-path.ts';
import { skipWithout } from '../support/parts.ts';

describe('the sessions page in a browser', { skip: skipWithout('chromium'), timeout: 120_000 }, () => {
  let service: SocketService;
  let world: ProxyWorld;
  let first: TestBrowser;
  let second: TestBrowser;

  before(async () => {
    service = await startSocketService();
    world = await startProxyWorld({
      services: { echo: { urls: [service.url], token: { source: 'session' } } },
      routes: [
        { id: 'ws', paths: ['/ws'], target_service: 'echo', methods: ['GET'], websocket: {} },
        { id: 'api', paths: ['/api/*'], target_service: 'echo' },
      ],
      // Another host than the application's, so that their cookies are apart.
      provider: { hostname: 'localhost' },
    });
    [first, second] = [await launchBrowser(), await launchBrowser()];
  });
  after(async () => {
    await first?.close();
    await second?.close();
    await world?.close();
    await service?.close();
  });

  async function signIn(browser: TestBrowser): Promise<Page> {
    const { page } = await browser.newPage();
    await page.goto(`${world.origin}/auth/login?return_to=%2Fhello`);
    // Where the provider knows the browser, it asks nothing.
    if (new URL(page.url()).hostname !== '127.0.0.1') await signInAtProvider(page, 'alice', '127.0.0.1');
    return page;
  }

  const isSignedIn = (page: Page): Promise<boolean> =>
    page.evaluate(async () => {
      const response = await fetch('/api/auth/session');
      return ((await response.json()) as { authenticated: boolean }).authenticated;
    });
  const statusOf = (page: Page): Promise<number> => page.evaluate(async () => (await fetch('/api/things')).status);

  test('signs another browser out: its next call is 401 and its WebSocket closes with 4401', async () => {
    const mine = await signIn(first);
    const theirs = await signIn(second);
    await theirs.evaluate(
      (url) =>
        new Promise<void>((resolve, reject) => {
          const socket = new WebSocket(url);
          const state = globalThis as unknown as { socketClose: Promise<number> };
          state.socketClose = new Promise((close) => socket.addEventListener('close', ({ code }) => close(code)));
          socket.addEventListener('open', () => resolve());
          socket.addEventListener('error', () => reject(new Error('the socket did not open')));
        }),
      `${world.origin.replace('http', 'ws')}/ws`,
    );
    await mine.goto(`${world.origin}/auth/sessions`);
    assert.equal(await mine.locator('li').count(), 2);
    assert.equal(await mine.locator('li em').innerText(), 'this browser');
    assert.match(await mine.locator('li').first().innerText(), /Headless Chrome on Linux/);
    await mine
      .locator('li', { hasNot: mine.locator('em') })
      .getByRole('button', { name: 'Sign out' })
      .click();
    await mine.waitForURL(`${world.origin}/auth/sessions`);
    await mine.locator('li').nth(1).waitFor({ state: 'detached' });
    assert.equal(await mine.locator('li').count(), 1);
    const code = await theirs.evaluate(() => (globalThis as unknown as { socketClose: Promise<number> }).socketClose);
    assert.equal(code, 4401);
    assert.equal(await statusOf(theirs), 401);
    assert.equal(await isSignedIn(theirs), false);
    assert.equal(await isSignedIn(mine), true);
    await theirs.goto(`${world.origin}/auth/sessions`);
    assert.match(await theirs.locator('body').innerText(), /Authentication required\s[\s\S]*Sign in again/);
    await mine.close();
    await theirs.close();
  });

  test('a sign-out in one tab is known in the others at their next call, and Back shows nothing', async () => {
    const one = await signIn(first);
    const { page: two } = await first.newPage();
    await two.goto(`${world.origin}/auth/sessions`);
    assert.equal(await isSignedIn(two), true);
    await two.goto(`${world.origin}/hello`);
    // The provider does not know our post-logout address and answers with an error: the session here is over first.
    await one.goto(`${world.origin}/auth/sessions`);
    await one
      .locator('li', { has: one.locator('em') })
      .getByRole('button', { name: 'Sign out' })
      .click();
    await one.waitForURL((url) => url.hostname === 'localhost');
    assert.match(await one.locator('body').innerText(), /post_logout_redirect_uri/);
    assert.equal(await statusOf(two), 401);
    assert.equal(await isSignedIn(two), false);
    await two.goBack();
    assert.doesNotMatch(await two.locator('body').innerText(), /Signed in as/);
    await one.goto(`${world.origin}/auth/sessions`);
    assert.match(await one.locator('body').innerText(), /Sign in again/);
    await one.close();
    await two.close();
  });
});
