import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type AccessWorld, EVIL, refusal, startAccessWorld } from '../proxy/access-world.ts';

let lab: AccessWorld;

before(async () => {
  lab = await startAccessWorld();
});

after(() => lab.close());

describe('the proxy finds', () => {
  test('no service for unknown paths, other methods, other hosts, routes of verify alone', async () => {
    const cookie = { cookie: lab.alice };
    assert.equal(refusal(await lab.ask('/unknown', cookie)), '404 not_found');
    assert.equal(refusal(await lab.ask('/verify-only/x', cookie)), '404 not_found');
    assert.equal(refusal(await lab.ask('/apix', cookie)), '404 not_found');
    assert.equal(refusal(await lab.ask('/API/x', cookie)), '404 not_found');
    const other = await lab.ask('/get/x', cookie, { method: 'DELETE' });
    assert.equal(refusal(other), '405 method_not_allowed');
    assert.equal(other.headers.allow, 'GET, POST');
    assert.equal(refusal(await lab.ask('/api/x', { ...cookie, host: 'elsewhere.test' })), '421 unknown_host');
    assert.equal(refusal(await lab.ask('/api/%2e%2e/admin/x', cookie)), '400 ambiguous_target');
    assert.equal(refusal(await lab.ask('/open//x', cookie)), '400 ambiguous_target');
  });

  test('the same path for the decision and for the service, and rewrites its beginning', async () => {
    await lab.ask('/open/%41%7e%20b/?q=%2F..&q', {});
    assert.equal(lab.service.last().url, '/open/A~%20b/?q=%2F..&q');
    const answer = await lab.ask('/old/7?y=2', { cookie: lab.alice });
    assert.equal(lab.service.last().url, '/v1/7?y=2');
    assert.equal(answer.headers.location, '/old/next?x=1');
  });
});

describe('the proxy lets pass', () => {
  test('signed-in users, with identity, token and nothing else of theirs', async () => {
    const answer = await lab.ask('/api/x', {
      cookie: `theme=dark; ${lab.alice}; b="c"`,
      authorization: 'Bearer forged',
      dpop: 'x',
    });
    assert.equal(answer.status, 200);
    const { headers } = lab.service.last();
    assert.equal(headers['x-user-id'], 'u-1001');
    assert.match(headers.authorization ?? '', /^Bearer eyJ/);
    assert.equal(headers['x-raw-token'], headers.authorization?.slice('Bearer '.length));
    assert.equal(headers.cookie, 'theme=dark; b="c"');
    assert.equal(headers.host, `127.0.0.1:${lab.service.port}`);
    assert.equal(headers['x-forwarded-host'], `127.0.0.1:${lab.world.port}`);
    assert.equal(headers['x-request-id'], answer.headers['x-request-id']);
    assert.equal(headers.dpop, undefined);
  });

  test('no token to a service that is to get none, in no header', async () => {
    await lab.ask('/plain/x', { cookie: lab.alice });
    const { headers } = lab.service.last();
    assert.equal(headers['x-user-id'], 'u-1001');
    assert.equal(headers.authorization, undefined);
    assert.equal(headers['x-raw-token'], undefined);
  });

  test('no identity where the route wants none', async () => {
    await lab.ask('/anonymous/x', { cookie: lab.alice });
    assert.equal(lab.service.last().headers['x-user-id'], undefined);
    assert.match(lab.service.last().headers.authorization ?? '', /^Bearer /);
  });

  test('anybody on public routes and sub-paths, with no identity even of the signed in', async () => {
    for (const path of ['/open/x', '/api/ping']) {
      assert.equal((await lab.ask(path, { cookie: lab.alice, 'x-user-id': 'admin' })).status, 200);
      const { headers } = lab.service.last();
      assert.deepEqual(
        [headers['x-user-id'], headers.authorization, headers.cookie],
        [undefined, undefined, undefined],
      );
    }
    assert.equal(refusal(await lab.ask('/api/ping', {}, { method: 'POST' })), '401 authentication_required');
    assert.equal(refusal(await lab.ask('/api/ping/')), '401 authentication_required');
  });

  test('the anonymous and the signed in on optional routes', async () => {
    assert.equal((await lab.ask('/maybe/x')).status, 200);
    assert.equal(lab.service.last().headers['x-user-id'], undefined);
    assert.equal((await lab.ask('/maybe/x', { cookie: lab.bob })).status, 200);
    assert.equal(lab.service.last().headers['x-user-id'], 'u-1002');
  });
});

describe('the proxy refuses', () => {
  test('the signed out: 401 for programs, the login for people', async () => {
    const program = await lab.ask('/api/x?q=1');
    assert.equal(refusal(program), '401 authentication_required');
    assert.equal(
      (JSON.parse(program.body.toString()) as { login_url: string }).login_url,
      `${lab.world.origin}/auth/login`,
    );
    const person = await lab.ask('/api/x?q=1', { accept: 'text/html' });
    assert.equal(person.status, 302);
    assert.equal(person.reached, false);
    const returnTo = encodeURIComponent(`${lab.world.origin}/api/x?q=1`);
    assert.equal(person.headers.location, `${lab.world.origin}/auth/login?return_to=${returnTo}`);
    assert.equal((await lab.ask('/page/x')).status, 302);
    assert.equal((await lab.ask('/quiet/x', { accept: 'text/html' })).status, 401);
    assert.equal(
      refusal(await lab.ask('/api/x', {}, { method: 'POST', body: 'x'.repeat(100_000) })),
      '401 authentication_required',
    );
  });

  test('unknown, malformed and conflicting cookies, and expires the last', async () => {
    const made = `bff_session=${'A'.repeat(43)}`;
    assert.equal(refusal(await lab.ask('/api/x', { cookie: made })), '401 authentication_required');
    assert.equal(refusal(await lab.ask('/api/x', { cookie: 'bff_session=x' })), '401 authentication_required');
    const conflicting = await lab.ask('/api/x', { cookie: `${lab.alice}; ${lab.bob}` });
    assert.equal(refusal(conflicting), '401 authentication_required');
    assert.match(String(conflicting.headers['set-cookie']), /^bff_session=; Max-Age=0/);
  });

  test('a session on a host of another site', async () => {
    const elsewhere = { cookie: lab.alice, host: `localhost:${lab.world.port}` };
    assert.equal(refusal(await lab.ask('/api/x', elsewhere)), '401 authentication_required');
  });

  test('users without the role, and addresses outside the list', async () => {
    assert.equal(refusal(await lab.ask('/admin/x', { cookie: lab.alice })), '403 access_denied');
    assert.equal((await lab.ask('/admin/x', { cookie: lab.bob })).status, 200);
    assert.equal(refusal(await lab.ask('/away/x', { cookie: lab.bob })), '403 address_not_allowed');
    assert.equal(
      refusal(await lab.ask('/away/x', { cookie: lab.bob, 'x-forwarded-for': '10.0.0.1' })),
      '403 address_not_allowed',
    );
    assert.equal((await lab.ask('/here/x', { cookie: lab.bob })).status, 200);
  });

  test('requests that nominate what must arrive, and WebSocket handshakes', async () => {
    const nominating = { cookie: lab.alice, connection: 'close, Origin' };
    assert.equal(refusal(await lab.ask('/api/x', nominating)), '400 bad_request');
    const handshake = { cookie: lab.alice, connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': 'short' };
    assert.equal(refusal(await lab.ask('/api/x', handshake)), '400 bad_request');
    assert.equal(
      refusal(await lab.ask('/open/x', { 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' })),
      '400 bad_request',
    );
  });
});

describe('a bearer token on an optional route', () => {
  test('speaks for itself: no cookie, no CSRF rule, and goes on to the service', async () => {
    await lab.ask('/api/x', { cookie: lab.bob });
    const { authorization = '' } = lab.service.last().headers;
    assert.equal((await lab.ask('/maybe/x', { authorization, origin: EVIL }, { method: 'POST' })).status, 200);
    assert.equal(lab.service.last().headers['x-user-id'], 'u-1002');
    assert.equal(lab.service.last().headers.authorization, authorization);
  });

  test('decides alone, with a valid cookie beside it or not', async () => {
    const answer = await lab.ask('/maybe/x', { cookie: lab.alice, authorization: 'Bearer garbage' });
    assert.equal(refusal(answer), '401 invalid_token');
    assert.match(answer.headers['www-authenticate'] ?? '', /error="invalid_token"/);
    const foreign = { cookie: lab.alice, authorization: 'Bearer garbage', origin: EVIL };
    assert.equal(refusal(await lab.ask('/maybe/x', foreign, { method: 'POST' })), '401 invalid_token');
  });

  test('is ignored where only sessions count', async () => {
    await lab.ask('/api/x', { cookie: lab.bob });
    const { authorization = '' } = lab.service.last().headers;
    assert.equal(refusal(await lab.ask('/api/x', { authorization })), '401 authentication_required');
  });
});

test('an expired access token answers 401', async () => {
  const cookie = await lab.world.signIn('alice');
  assert.equal((await lab.ask('/api/x', { cookie })).status, 200);
  lab.world.advanceMs(3_600_000);
  assert.equal(refusal(await lab.ask('/api/x', { cookie })), '401 authentication_required');
});

test('no token, handle or cookie value is logged', async () => {
  const text = JSON.stringify(lab.world.log);
  assert.doesNotMatch(text, /eyJ[A-Za-z0-9_-]{10}/);
  for (const cookie of [lab.alice, lab.bob]) assert.ok(!text.includes(cookie.slice('bff_session='.length)));
});
