import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import type { ErrorCode } from '../../src/core/errors.ts';
import { answer, answerJson, type Behaviour, garbage, hang, reset } from '../support/misbehaving-service.ts';
import { callbackTarget, createBrowser, headerOf } from '../support/raw-client.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { assertNoSecrets, assertRefused, codeOfPage, type ProviderLab, startProviderLab } from './provider-lab.ts';

const WELL_KNOWN = '/.well-known/openid-configuration';
const BOUND = { token_type: 'DPoP' };

describe('a provider that fails while a request is pushed to it', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({
      idp: { par: 'require' },
      metadata: (url) => ({ pushed_authorization_request_endpoint: `${url}/par` }),
      expectedErrors: ['idp_unavailable'],
    });
  });
  after(() => lab.close());

  const pushed = (different: object): Behaviour =>
    answerJson({ request_uri: 'urn:example:r1', expires_in: 60, ...different }, 201);
  const cases: readonly (readonly [name: string, behaviour: Behaviour, code: ErrorCode])[] = [
    ['an unknown client', answerJson({ error: 'invalid_client' }, 401), 'idp_bad_response'],
    [
      'a refused parameter',
      answerJson({ error: 'invalid_request', error_description: '<b>no</b>' }, 400),
      'idp_bad_response',
    ],
    [
      'a code for another status',
      answerJson({ request_uri: 'urn:example:r1', expires_in: 60 }, 200),
      'idp_bad_response',
    ],
    ['a redirect', answer(302, { location: '/elsewhere' }, ''), 'idp_bad_response'],
    ['no name', pushed({ request_uri: undefined }), 'idp_bad_response'],
    ['a name with a line break', pushed({ request_uri: 'urn:a\r\nset-cookie: b' }), 'idp_bad_response'],
    ['a name without end', pushed({ request_uri: `urn:${'a'.repeat(3_000)}` }), 'idp_bad_response'],
    ['a request that has expired already', pushed({ expires_in: 0 }), 'idp_bad_response'],
    ['no expiry', pushed({ expires_in: undefined }), 'idp_bad_response'],
    ['no JSON', garbage(), 'idp_unavailable'],
    ['an outage', answer(503, {}, ''), 'idp_unavailable'],
    ['a flood guard', answer(429, { 'retry-after': '1' }, ''), 'idp_unavailable'],
    ['a broken connection', reset(), 'idp_unavailable'],
    ['no answer at all', hang(), 'service_timeout'],
  ];
  for (const [name, behaviour, code] of cases) {
    test(`${name} ends as ${code}: no redirect, no cookie`, async () => {
      lab.provider.front.on('/par', behaviour);
      const browser = createBrowser(lab.server);
      const response = await browser.ask('/auth/login');
      assert.deepEqual(
        { code: codeOfPage(response), location: headerOf(response, 'location') },
        { code, location: undefined },
      );
      assert.equal(headerOf(response, 'set-cookie'), undefined);
      assert.deepEqual(lab.provider.front.requests('/elsewhere'), []);
    });
  }

  test('a pushed request names everything, the browser only its name; a name that expired at the provider starts anew', async () => {
    const { front } = lab.provider;
    front.on('/par', pushed({}));
    const browser = createBrowser(lab.server);
    const { url } = await browser.beginLogin('login_hint=a&max_age=60');
    assert.deepEqual(Object.fromEntries(url.searchParams), { client_id: 'bff-client', request_uri: 'urn:example:r1' });
    const form = new URLSearchParams(front.requests('/par').at(-1)?.body);
    const { state = '', nonce = null, ...rest } = Object.fromEntries(form);
    assert.deepEqual(
      [rest['response_type'], rest['login_hint'], rest['max_age'], rest['code_challenge_method']],
      ['code', 'a', '60', 'S256'],
    );
    const expired = `/auth/callback?${new URLSearchParams({ error: 'invalid_request_uri', state, iss: lab.provider.issuer })}`;
    const page = await browser.ask(expired);
    assert.equal(codeOfPage(page), 'callback_invalid');
    const other = createBrowser(lab.server);
    await other.beginLogin();
    const again = new URLSearchParams(front.requests('/par').at(-1)?.body);
    const id = await signIdToken(lab.provider, lab.keys.ec, again.get('nonce') ?? '');
    const code = lab.provider.codeFor({ nonce, patch: { id_token: id } });
    const done = await other.ask(callbackTarget(lab.provider, again.get('state') ?? '', code));
    assert.equal(done.status, 302, done.body);
    assertNoSecrets(lab.provider, lab.server, other);
  });
});

describe('a provider that fails with bound tokens', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ idp: { dpop: 'require' }, expectedErrors: ['idp_unavailable'] });
  });
  after(() => lab.close());
  afterEach(() => lab.provider.front.off('/token'));

  const bound: NonNullable<Parameters<ProviderLab['attempt']>[0]['patch']> = async ({ provider, keys, nonce }) => ({
    ...BOUND,
    id_token: await signIdToken(provider, keys.ec, nonce),
  });
  const proofs = (): Record<string, unknown>[] =>
    lab.provider.front.requests('/token').map(({ headers }) => decodeJwt(String(headers['dpop'])));

  test('a token of the type Bearer is a downgrade and ends the sign-in (RFC 9449 §5)', async () => {
    await assertRefused(lab, await lab.attempt({}), 'idp_bad_response');
  });

  test('a token of the type DPoP signs in, whatever its case', async () => {
    for (const token_type of ['DPoP', 'dpop', 'DPOP']) {
      const { response } = await lab.attempt({ patch: async (login) => ({ ...(await bound(login)), token_type }) });
      assert.equal(response.status, 302, response.body);
    }
  });

  test('a nonce is put into one more proof, and remembered for the next sign-in', async () => {
    const before = proofs().length;
    const { front } = lab.provider;
    front.on(
      '/token',
      nonceDemand('n-1', () => front.off('/token')),
    );
    const { response } = await attemptThroughFront();
    assert.equal(response.status, 302, response.body);
    assert.deepEqual(
      proofs()
        .slice(before)
        .map(({ nonce }) => nonce),
      [undefined, 'n-1'],
    );
    assert.equal((await lab.attempt({ patch: bound })).response.status, 302);
    assert.equal(proofs().at(-1)?.['nonce'], 'n-1');
    assert.equal(new Set(proofs().map(({ jti }) => jti)).size, proofs().length, 'no proof is used twice');
  });

  test('a provider that never has enough of nonces is asked twice and no more', async () => {
    const before = proofs().length;
    let count = 0;
    lab.provider.front.on('/token', (request, response) => {
      count += 1;
      return nonceDemand(`loop-${count}`)(request, response);
    });
    await assertRefused(lab, await attemptThroughFront(), 'idp_bad_response');
    assert.equal(proofs().length - before, 2);
  });

  for (const [name, headers] of [
    ['without one', {}],
    ['with odd characters', { 'dpop-nonce': 'a b"c' }],
  ] as const) {
    test(`a demand for a nonce ${name} ends the sign-in`, async () => {
      lab.provider.front.on(
        '/token',
        answer(400, { ...headers, 'content-type': 'application/json' }, '{"error":"use_dpop_nonce"}'),
      );
      await assertRefused(lab, await attemptThroughFront(), 'idp_bad_response');
    });
  }

  /** As lab.attempt, which itself puts the token endpoint back. */
  async function attemptThroughFront() {
    const browser = createBrowser(lab.server);
    const { state, nonce } = await browser.beginLogin();
    const patch = await bound({ provider: lab.provider, keys: lab.keys, nonce });
    const response = await browser.ask(callbackTarget(lab.provider, state, lab.provider.codeFor({ nonce, patch })));
    return { browser, response };
  }
});

describe('a provider whose metadata does not fit', () => {
  const cases: readonly (readonly [name: string, idp: object, metadata: object, reason: RegExp])[] = [
    [
      'demands pushed requests that are never sent',
      { par: 'never' },
      {
        require_pushed_authorization_requests: true,
        pushed_authorization_request_endpoint: 'https://id.example.test/par',
      },
      /set par to auto/,
    ],
    [
      'takes no pushed requests where they are required',
      { par: 'require' },
      {},
      /no pushed_authorization_request_endpoint/,
    ],
    ['takes no ES256 proofs', { dpop: 'require' }, { dpop_signing_alg_values_supported: ['RS256'] }, /takes no ES256/],
  ];
  for (const [name, idp, metadata, reason] of cases) {
    test(`it ${name}: said in the log, and nobody is sent there`, async () => {
      const lab = await startProviderLab({
        idp: { ...idp },
        metadata: () => metadata,
        isUsable: false,
        expectedErrors: ['idp_unavailable'],
      });
      try {
        const response = await createBrowser(lab.server).ask('/auth/login');
        assert.equal(codeOfPage(response), 'idp_unavailable');
        assert.ok(lab.server.log.some((line) => reason.test(JSON.stringify(line))));
        assert.ok(lab.provider.front.requests(WELL_KNOWN).length > 0);
      } finally {
        await lab.close();
      }
    });
  }
});

function nonceDemand(nonce: string, then: () => void = () => {}): Behaviour {
  return (request, response) => {
    then();
    return answer(
      400,
      { 'content-type': 'application/json', 'dpop-nonce': nonce },
      '{"error":"use_dpop_nonce"}',
    )(request, response);
  };
}
