import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { locationOf } from '../../scripts/attacks/sign-in.ts';
import { callbackTarget, createBrowser, headerOf } from '../support/raw-client.ts';
import { type ScriptedProvider, startScriptedProvider } from '../support/scripted-provider.ts';
import { startTestServer, type TestServer } from '../support/test-server.ts';

describe('a login where several providers have no default', () => {
  let provider: ScriptedProvider;
  let server: TestServer;
  before(async () => {
    provider = await startScriptedProvider();
    const { main } = (provider.idps() as { providers: { main: object } }).providers;
    const customers = { ...main, forwarded_params: ['login_hint'] };
    const idps = { version: 1, providers: { staff: main, customers } };
    server = await startTestServer({ idps, peers: [provider.front] });
    await server.whenReady();
  });
  after(async () => {
    try {
      await server.close();
    } finally {
      await provider.close();
    }
  });

  const ask = (target: string, as: 'navigation' | 'program' = 'navigation') =>
    createBrowser(server).ask(target, { as });

  test('shows a person a page with a link for each provider, under a strict policy', async () => {
    const response = await ask('/auth/login?return_to=%2Freports%3Fa%3D1%26b&prompt=login&login_hint=al%26ice&evil=1');
    assert.equal(response.status, 200);
    assert.equal(headerOf(response, 'cache-control'), 'no-store');
    assert.deepEqual(linksOf(response.body), [
      '/auth/login?idp=staff&return_to=%2Freports%3Fa%3D1%26b&prompt=login&login_hint=al%26ice',
      '/auth/login?idp=customers&return_to=%2Freports%3Fa%3D1%26b&login_hint=al%26ice',
    ]);
    assert.match(response.body, /Continue with staff<\/a>/);
    assert.match(headerOf(response, 'content-security-policy') ?? '', /script-src 'none'/);
    assert.ok(!response.body.includes('<script'), 'the page needs no script');
    assert.deepEqual(headerOf(response, 'set-cookie'), undefined, 'no transaction is begun yet');
  });

  test('a link of the page signs in, and back to where one wanted to go', async () => {
    const browser = createBrowser(server);
    const page = await browser.ask('/auth/login?return_to=%2Freports');
    const begun = await browser.ask(linksOf(page.body)[1] ?? '');
    const { searchParams } = new URL(locationOf(begun) ?? 'about:blank');
    const code = provider.codeFor({ nonce: searchParams.get('nonce') ?? '' });
    const target = callbackTarget(provider, searchParams.get('state') ?? '', code);
    const done = await browser.ask(target.replace('/auth/callback?', '/auth/callback/customers?'));
    assert.equal(done.status, 302);
    assert.equal(locationOf(done), '/reports');
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  });

  test('a registration keeps its address', async () => {
    const [first] = linksOf((await ask('/auth/register')).body);
    assert.equal(first, '/auth/register?idp=staff&return_to=%2F');
  });

  test('a program gets the list as a problem', async () => {
    const response = await ask('/auth/login', 'program');
    assert.equal(response.status, 400);
    const { code, detail } = JSON.parse(response.body);
    assert.equal(code, 'unknown_idp');
    assert.match(detail, /staff, customers/);
  });

  test('an unknown provider and a foreign target are refused as ever', async () => {
    assert.match((await ask('/auth/login?idp=nobody')).body, /Code unknown_idp/);
    assert.match((await ask('/auth/login?return_to=https://evil.example.test/')).body, /Code invalid_return_to/);
  });

  test('prompt=none shows nothing: the caller learns that a user must act', async () => {
    const response = await ask('/auth/login?prompt=none&return_to=%2Fapp%3Fa%3D1');
    assert.equal(response.status, 302);
    assert.equal(locationOf(response), 'https://app.example.test/app?a=1&error=login_required');
  });

  test('a logout without a session works without a provider', async () => {
    assert.equal((await ask('/auth/logout')).status, 200);
  });
});

function linksOf(html: string): readonly string[] {
  return [...html.matchAll(/<a class="button" href="([^"]*)"/g)].map(([, href = '']) =>
    href.replace(/&#(\d+);/g, (_all, code) => String.fromCharCode(Number(code))),
  );
}
