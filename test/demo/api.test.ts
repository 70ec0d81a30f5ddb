import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { startDemoApi } from '../../src/cli/demo/api.ts';
import { startDashboard } from '../../src/cli/demo/dashboard.ts';
import { type RunningServer, startHttpServer } from '../../src/cli/demo/http-server.ts';

const ISSUER = 'https://issuer.example';
const AUDIENCE = 'https://api.example';

type Report = {
  method: string;
  path: string;
  headers: Record<string, string>;
  token_valid: boolean;
  token?: Record<string, unknown>;
  body?: string;
};

describe('demo API and dashboard', () => {
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let jwks: RunningServer;
  let api: RunningServer;
  let dashboard: RunningServer;

  before(async () => {
    keys = await generateKeyPair('ES256');
    const body = JSON.stringify({ keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k', alg: 'ES256' }] });
    const answer = { port: 0, handler: (_: unknown, response: { end(text: string): void }) => response.end(body) };
    jwks = await startHttpServer(answer);
    api = await startDemoApi({ issuer: ISSUER, audience: AUDIENCE, jwksUri: `http://127.0.0.1:${jwks.port}/` });
    dashboard = await startDashboard({});
  });
  after(() => Promise.all([jwks.close(), api.close(), dashboard.close()]));

  function sign(claims: Record<string, unknown> = {}, header: Record<string, string> = {}): Promise<string> {
    return new SignJWT({ sub: 'u', iss: ISSUER, aud: AUDIENCE, exp: Math.floor(Date.now() / 1000) + 600, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid: 'k', typ: 'at+jwt', ...header })
      .sign(keys.privateKey);
  }

  function call(path: string, headers: Record<string, string>, init: RequestInit = {}): Promise<Response> {
    return fetch(`http://127.0.0.1:${api.port}${path}`, { ...init, headers });
  }

  test('reports what arrived, with the claims of a token it verified itself', async () => {
    const response = await call('/api/x?y=1', { authorization: `Bearer ${await sign()}`, 'x-user-id': 'u' });
    const report = (await response.json()) as Report;
    assert.equal(response.status, 200);
    assert.deepEqual([report.method, report.path, report.token_valid], ['GET', '/api/x?y=1', true]);
    assert.equal(report.headers['x-user-id'], 'u');
    assert.equal(report.token?.['aud'], AUDIENCE);
  });

  test('never returns a token or a cookie value, wherever it was put', async () => {
    const token = await sign();
    const places: [string, Record<string, string>, RequestInit][] = [
      ['/api/x', { authorization: `Bearer ${token}` }, {}],
      ['/api/x', { authorization: `bearer  ${token}` }, {}],
      ['/api/x', { authorization: token }, {}],
      [`/api/x?token=${token}`, { authorization: `Bearer ${token}`, 'x-forwarded-access-token': token }, {}],
      ['/api/echo', { authorization: `Bearer ${token}` }, { method: 'POST', body: `{"t":"${token}"}` }],
      ['/api/x', { authorization: `Bearer ${token}`, cookie: `bff_session=cookie-value; t=${token}` }, {}],
      ['/api/x', { authorization: `Bearer ${token}.x` }, {}],
    ];
    const [, payload = '', signature = ''] = token.split('.');
    for (const [path, headers, init] of places) {
      const response = await call(path, headers, init);
      const text = `${JSON.stringify([...response.headers])}${await response.text()}`;
      for (const secret of [payload, signature, 'cookie-value']) {
        assert.ok(!text.includes(secret), `${path} ${JSON.stringify(Object.keys(headers))}`);
      }
    }
  });

  test('shows of Authorization the scheme and of Cookie the names', async () => {
    const headers = { authorization: `Bearer ${await sign()}`, cookie: 'bff_session=v; theme=w' };
    const report = (await (await call('/api/x', headers)).json()) as Report;
    assert.equal(report.headers['authorization'], 'Bearer <not shown>');
    assert.equal(report.headers['cookie'], 'bff_session=<not shown>; theme=<not shown>');
  });

  const refused: [string, () => Promise<string> | undefined][] = [
    ['no token', () => undefined],
    ['another issuer', () => sign({ iss: 'https://other.example' })],
    ['another audience', () => sign({ aud: 'https://other.example' })],
    ['an expired token', () => sign({ exp: 1000 })],
    ['an ID token', () => sign({}, { typ: 'JWT' })],
    ['an unknown key', () => sign({}, { kid: 'other' })],
    ['a changed payload', async () => (await sign()).replace(/\.[^.]+\./, '.eyJzdWIiOiJ4In0.')],
    ['no signature', async () => `${Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')}.e30.`],
  ];
  for (const [name, make] of refused) {
    test(`answers 401 to ${name}`, async () => {
      const token = await make();
      const response = await call('/api/x', token === undefined ? {} : { authorization: `Bearer ${token}` });
      const report = (await response.json()) as Report;
      assert.deepEqual([response.status, report.token_valid, report.token], [401, false, undefined]);
    });
  }

  test('echoes a POST body and refuses one that is too long', async () => {
    const authorization = `Bearer ${await sign()}`;
    const echo = await call('/api/echo', { authorization }, { method: 'POST', body: 'hello' });
    assert.equal(((await echo.json()) as Report).body, 'hello');
    const long = await call('/api/echo', { authorization }, { method: 'POST', body: 'x'.repeat(16_385) });
    assert.equal(long.status, 413);
  });

  test('the dashboard shows identity headers as text and no token', async () => {
    const token = await sign({ name: '<b>Eve</b>' });
    const response = await fetch(`http://127.0.0.1:${dashboard.port}/dashboard`, {
      headers: {
        authorization: `Bearer ${token}`,
        'x-user-username': '<script>alert(1)</script>',
        cookie: 'bff_session=v1',
      },
    });
    const html = await response.text();
    assert.ok(html.includes('&lt;script&gt;alert(1)&lt;/script&gt;') && html.includes('&lt;b&gt;Eve&lt;/b&gt;'));
    assert.ok(!html.includes('<script') && !html.includes('<b>Eve'));
    assert.ok(!html.includes(token.split('.')[2] ?? '') && !html.includes('v1'));
    assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'self'/);
  });
});
