import assert from 'node:assert/strict';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { describeRemedy, findPart } from '../../scripts/parts.js';
import { type RunningServer, startHttpServer } from '../../src/cli/demo/http-server.ts';
import { startStaticServer } from '../../src/cli/demo/static-server.ts';
import { launchBrowser, type PageProblems, type TestBrowser } from '../support/browser.ts';

type Answer = { status: number; body: unknown; headers?: Record<string, string> };

const SIGNED_OUT: Answer = { status: 200, body: { authenticated: false, login_url: '/auth/login' } };
const SIGNED_IN: Answer = {
  status: 200,
  body: {
    authenticated: true,
    user: { sub: 'u-1', name: '<img src=x onerror=alert(1)>', roles: ['user', 'admin'] },
    idp: 'demo',
    expires_in: 90,
    absolute_expires_in: 7_500,
    login_url: '/auth/login',
    logout_url: '/auth/logout',
  },
};

const skip = findPart('chromium') === undefined ? `needs Chromium: ${describeRemedy('chromium')}` : false;

describe('demo application in a browser', { skip }, () => {
  let files: RunningServer;
  let front: RunningServer;
  let browser: TestBrowser;
  let page: Page;
  let problems: PageProblems;
  let session: Answer;
  let api: Answer;
  let apiCalls: { method: string | undefined; csrf: string | undefined }[];

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const isSession = request.url?.startsWith('/api/auth/session') === true;
    if (isSession || request.url?.startsWith('/api/') === true) {
      if (!isSession) {
        apiCalls.push({ method: request.method, csrf: request.headers['x-csrf']?.toString() });
      }
      const { status, body, headers = {} } = isSession ? session : api;
      response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
      return;
    }
    const target = { host: '127.0.0.1', port: files.port, path: request.url, headers: request.headers };
    httpRequest(target, (from) => from.pipe(response.writeHead(from.statusCode ?? 502, from.headers))).end();
  }

  before(async () => {
    files = await startStaticServer({});
    front = await startHttpServer({ port: 0, handler: answer });
    browser = await launchBrowser();
    ({ page, problems } = await browser.newPage());
  });
  after(async () => {
    await browser?.close();
    await Promise.all([front?.close(), files?.close()]);
  });
  beforeEach(() => {
    apiCalls = [];
    session = SIGNED_OUT;
    api = { status: 500, body: {} };
  });

  const open = (): Promise<unknown> => page.goto(`http://127.0.0.1:${front.port}/?tab=2`);

  test('signed out it offers a sign-in that returns to the page, and every browser check passes', async () => {
    await open();
    await page.waitForSelector('#signed-out:visible');
    const link = new URL((await page.getAttribute('#sign-in', 'href')) ?? '');
    assert.deepEqual([link.pathname, link.searchParams.get('return_to')], ['/auth/login', '/?tab=2']);
    await page.waitForFunction('document.querySelectorAll("[data-result=pending]").length === 0');
    assert.equal(await page.locator('[data-result=passed]').count(), 4);
    assert.deepEqual(problems, { errors: [], cspViolations: [] });
  });

  test('signed in it shows who, as text, and the time left', async () => {
    session = SIGNED_IN;
    await open();
    await page.waitForSelector('#signed-in:visible');
    assert.equal(await page.textContent('#user-name'), '<img src=x onerror=alert(1)>');
    assert.equal(await page.textContent('[data-claim=roles]'), 'user, admin');
    assert.match((await page.textContent('#idle-left')) ?? '', /^1:(30|2\d) left$/);
    assert.match((await page.textContent('#absolute-left')) ?? '', /^2 h 0[45] m left$/);
    const everywhere = new URL((await page.getAttribute('#sign-out-everywhere', 'href')) ?? '');
    assert.equal(everywhere.pathname + everywhere.search, '/auth/logout?everywhere=true');
    assert.deepEqual(problems, { errors: [], cspViolations: [] });
  });

  test('unsafe calls carry the proof header, safe ones do not, and the answer marks the identity', async () => {
    session = SIGNED_IN;
    api = {
      status: 200,
      body: {
        method: 'POST',
        path: '/api/echo',
        headers: { accept: '*/*', 'x-user-id': 'u-1', authorization: 'Bearer <not shown>' },
        token_valid: true,
        token: { sub: 'u-1', exp: 1_000 },
        at: new Date(940_000).toISOString(),
      },
    };
    await open();
    await page.click('#call-get');
    await page.waitForSelector('.result[data-status="200"]');
    await page.click('#call-post:enabled');
    await page.waitForSelector('#call-post:enabled');
    assert.deepEqual(apiCalls, [
      { method: 'GET', csrf: undefined },
      { method: 'POST', csrf: '1' },
    ]);
    assert.deepEqual(await page.locator('tr.identity th').allTextContents(), ['x-user-id', 'authorization']);
    assert.match((await page.textContent('#token-left')) ?? '', /^(1:00|0:5\d) left$/);
  });

  test('a store outage is shown with its reason and can be retried', async () => {
    session = {
      status: 503,
      headers: { 'retry-after': '2' },
      body: {
        title: 'Session store unavailable',
        detail: 'It does not answer.',
        code: 'store_unavailable',
        request_id: 'r-1',
      },
    };
    await open();
    await page.waitForSelector('#notice:visible');
    const text = (await page.textContent('#notice')) ?? '';
    for (const part of [
      'Session store unavailable',
      'Try again in 2 s; your session is kept.',
      'store_unavailable',
      'r-1',
    ]) {
      assert.ok(text.includes(part), part);
    }
    session = SIGNED_OUT;
    await page.click('#notice button');
    await page.waitForSelector('#signed-out:visible');
    assert.equal(await page.isVisible('#notice'), false);
  });

  test('a refused call and an unreachable server are told apart', async () => {
    api = {
      status: 401,
      body: { title: 'Authentication required', detail: 'Sign in to continue.', code: 'authentication_required' },
    };
    await open();
    await page.click('#call-get');
    await page.waitForSelector('[data-problem="401"]');
    assert.match((await page.textContent('#api-result')) ?? '', /Sign in to continue\..*authentication_required/s);
    await browser.context.setOffline(true);
    await page.click('#call-get:enabled');
    await page.waitForSelector('[data-problem="0"]');
    assert.match((await page.textContent('#api-result')) ?? '', /The server cannot be reached/);
    await browser.context.setOffline(false);
  });
});
