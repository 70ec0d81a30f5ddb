// The demo in Chromium through a real Traefik: what stays open, what is sent, and what the sign-out ends.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { DEMO_PORTS_COUNT } from '../../src/cli/demo/demo-options.ts';
import { type RunningDemo, startDemo } from '../../src/cli/demo/demo-start.ts';
import { startHttpServer } from '../../src/cli/demo/http-server.ts';
import { launchBrowser, type PageProblems, type TestBrowser } from '../support/browser.ts';
import { signInAtProvider } from '../support/golden-path.ts';
import { skipWithout } from '../support/parts.ts';
import { findFreePorts } from '../support/ports.ts';

describe('the demo through Traefik stays connected', { skip: skipWithout('chromium', 'traefik') }, () => {
  let demo: RunningDemo;
  let browser: TestBrowser;
  let page: Page;
  let problems: PageProblems;

  before(async () => {
    const port = await findFreePorts(DEMO_PORTS_COUNT);
    const options = { port, redisUrl: undefined, traefik: true, logLevel: 'warn' } as const;
    demo = await startDemo(options, { write: () => true });
    browser = await launchBrowser({ viewport: { width: 1100, height: 1500 } });
    ({ page, problems } = await browser.newPage());
    await page.goto(`${demo.info.url}/auth/login?return_to=/`);
    await signInAtProvider(page, 'alice');
    await page.locator('#signed-in').waitFor();
    await mkdir('test-output', { recursive: true });
  });

  after(async () => {
    await browser?.close();
    await demo?.close();
  });

  const state = (name: string, text: RegExp): Promise<void> =>
    page.locator(`#${name}-state`, { hasText: text }).waitFor({ timeout: 30_000 });

  test('an upload tells how far it is and arrives whole', async () => {
    await page.locator('#upload-sample').click();
    await state('upload', /8\.0 MiB arrived, SHA-256 2daeb1f36095…/);
    assert.equal(await page.evaluate(`document.querySelector('#upload-bar').position`), 1);
  });

  test('an event stream comes event by event, and ends when it is told to', async () => {
    await page.locator('#stream-toggle').click();
    await state('stream', /open · event 2 for /);
    await page.locator('#stream-toggle').click();
    await state('stream', /^closed$/);
  });

  test('a page of a foreign origin can do none of this, and learns nothing', async () => {
    const foreign = await startHttpServer({
      port: 0,
      handler: (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html>'),
    });
    try {
      const evil = await browser.newPage();
      // Another port of localhost: the same site, so the cookie comes along; another origin, which is not listed.
      await evil.page.goto(`http://localhost:${foreign.port}/`);
      const tried = await evil.page.evaluate(async (url) => {
        const attempt = (path: string, init: RequestInit) =>
          fetch(`${url}${path}`, { credentials: 'include', ...init }).then(
            () => 'read',
            () => 'refused',
          );
        const socket = new WebSocket(`${url.replace('http', 'ws')}/api/echo-socket`);
        const closed = new Promise((resolve) => socket.addEventListener('close', () => resolve('refused')));
        socket.addEventListener('open', () => socket.send('x'));
        return [
          await attempt('/api/whoami', {}),
          await attempt('/api/echo', { method: 'POST', body: '{}' }),
          await attempt('/api/upload', { method: 'POST', headers: { 'x-csrf': '1' }, body: 'x' }),
          await closed,
        ];
      }, demo.info.url);
      assert.deepEqual(tried, ['refused', 'refused', 'refused', 'refused']);
      await evil.page.close();
    } finally {
      await foreign.close();
    }
  });

  test('a WebSocket echoes, and the sign-out in another tab closes it before the user’s eyes', async () => {
    await page.locator('#socket-toggle').click();
    await state('socket', /^open$/);
    await page.locator('#socket-log li', { hasText: 'hello ' }).waitFor();
    await page.locator('#socket-text').fill('grüße, <b>echo</b>');
    await page.locator('#socket-text').press('Enter');
    await page.locator('#socket-log li', { hasText: 'grüße, <b>echo</b>' }).waitFor();
    await page.screenshot({ path: 'test-output/demo-live.png' });
    const [other] = await Promise.all([
      browser.context.waitForEvent('page'),
      page.locator('#sign-out-elsewhere').click(),
    ]);
    await state('socket', /^closed · 4401/);
    await page.locator('#signed-out').waitFor();
    await page.screenshot({ path: 'test-output/demo-ended.png' });
    await other.close();
    assert.deepEqual(problems.cspViolations, []);
  });

  test('without a session the page says so and stays where it is', async () => {
    await page.locator('#upload-sample').click();
    await page.locator('#upload-state strong', { hasText: 'Authentication required' }).waitFor();
    await page.locator('#stream-toggle').click();
    await page.locator('#stream-state strong', { hasText: 'Authentication required' }).waitFor();
    assert.equal(new URL(page.url()).pathname, '/');
  });
});
