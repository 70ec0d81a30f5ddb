// Bearer tokens over a socket, with the keys of a real JWKS endpoint that rotates, fails and comes back.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { SignJWT } from 'jose';
import { type RawResponse, requestBytes } from '../../scripts/attacks/raw-client.ts';
import { asTraefik } from '../support/gateway.ts';
import { answerJson, hang } from '../support/misbehaving-service.ts';
import { headerOf, sendBytes } from '../support/raw-client.ts';
import {
  createSigningKey,
  publishKeys,
  type ScriptedProvider,
  type SigningKey,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import {
  createMovableClock,
  type MovableClock,
  PUBLIC_URL,
  startTestServer,
  type TestServer,
} from '../support/test-server.ts';

const AUDIENCE = 'https://bff.example.test';

type Lab = {
  readonly provider: ScriptedProvider;
  readonly server: TestServer;
  readonly clock: MovableClock;
  readonly key: SigningKey;
  token(different?: Readonly<Record<string, unknown>>, key?: SigningKey): Promise<string>;
  close(): Promise<void>;
};

async function openLab(begin?: (provider: ScriptedProvider) => void, introspection = {}): Promise<Lab> {
  const [provider, key] = await Promise.all([startScriptedProvider(), createSigningKey('ES256', 'ec-1')]);
  publishKeys(provider, key);
  begin?.(provider);
  const clock = createMovableClock();
  const server = await startTestServer({
    idps: {
      ...provider.idps(),
      bearer: {
        enabled: true,
        issuers: [{ issuer: provider.issuer, provider: 'main', audiences: [AUDIENCE], algs: ['ES256'] }],
        introspection,
      },
    },
    routes: { version: 1, routes: [{ id: 'machines', paths: ['/machines/*'], auth: 'bearer', scopes: ['jobs'] }] },
    clock,
    peers: [provider.front],
    expectedErrors: ['idp_unavailable'],
  });
  await server.whenReady();
  return {
    provider,
    server,
    clock,
    key,
    token(different = {}, by = key) {
      const nowS = Math.floor(clock.now() / 1000);
      const claims = { iss: provider.issuer, sub: 'u1', aud: AUDIENCE, iat: nowS, exp: nowS + 300, ...different };
      return new SignJWT(claims).setProtectedHeader({ alg: by.alg, kid: by.kid, typ: 'at+jwt' }).sign(by.privateKey);
    },
    async close() {
      await server.close();
      await provider.close();
    },
  };
}

/** What a gateway asks about a program's request with this Authorization header. */
async function ask({ server }: Lab, authorization: string, uri = '/dashboard'): Promise<RawResponse> {
  const bytes = requestBytes('GET', '/auth/verify', [
    ['host', 'sallyport.internal'],
    ...Object.entries(asTraefik(PUBLIC_URL, uri)),
    ['authorization', authorization],
  ]);
  const [response] = (await sendBytes(server.ports.verify, bytes)).responses;
  assert.ok(response, 'an answer');
  return response;
}

const codeOf = (response: RawResponse): string =>
  response.status === 200 ? '200' : `${response.status} ${(JSON.parse(response.body) as { code: string }).code}`;

describe('bearer tokens at the gateway', () => {
  let lab: Lab;
  before(async () => {
    lab = await openLab();
  });
  after(() => lab.close());

  test('a valid one is answered with its identity, and goes on unchanged', async () => {
    const token = await lab.token({ preferred_username: 'robot', roles: ['jobs'] });
    for (const authorization of [`Bearer ${token}`, `bearer ${token}`]) {
      const response = await ask(lab, authorization);
      assert.equal(response.status, 200);
      assert.equal(headerOf(response, 'authorization'), `Bearer ${token}`);
      assert.equal(headerOf(response, 'x-user-id'), 'u1');
      assert.equal(headerOf(response, 'x-user-username'), 'robot');
      assert.equal(headerOf(response, 'x-user-roles'), 'jobs');
      assert.equal(headerOf(response, 'x-auth-session'), '');
    }
  });

  test('an invalid one is 401 with the reason, and the token appears nowhere', async () => {
    const token = await lab.token({ exp: 1 });
    const response = await ask(lab, `Bearer ${token}`);
    assert.equal(codeOf(response), '401 invalid_token');
    assert.equal(
      headerOf(response, 'www-authenticate'),
      'Bearer realm="sallyport", error="invalid_token", error_description="The token expired"',
    );
    assert.ok(lab.server.log.some((line) => line['reason'] === 'bearer_expired'));
    const [, payload = '', signature = ''] = token.split('.');
    const seen = JSON.stringify([lab.server.log, response]);
    for (const part of [payload, signature]) assert.ok(!seen.includes(part), 'no part of the token');
  });

  test('a route for bearer tokens alone names no login, and asks for its scopes', async () => {
    const nobody = await ask(lab, 'Basic YTpi', '/machines/1');
    assert.equal(codeOf(nobody), '401 authentication_required');
    assert.equal((JSON.parse(nobody.body) as Record<string, unknown>)['login_url'], undefined);
    assert.equal(headerOf(nobody, 'www-authenticate'), 'Bearer realm="sallyport"');
    assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token()}`, '/machines/1')), '403 access_denied');
    assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token({ scope: 'jobs' })}`, '/machines/1')), '200');
  });

  test('whatever stands in the header, it is never 200 and never an error of ours', async () => {
    const good = (await lab.token()).split('.');
    const part = fc.oneof(fc.constantFrom(...good), fc.base64String({ maxLength: 60 }), fc.json().map(toBase64url));
    const text = fc.oneof(
      fc.array(part, { maxLength: 6 }).map((parts) => parts.join('.')),
      fc.string({ unit: 'grapheme-ascii', maxLength: 80 }),
    );
    const property = fc.asyncProperty(text, async (token) => {
      fc.pre(token !== good.join('.'));
      assert.match(codeOf(await ask(lab, `Bearer ${token}`)), /^401 |^400 /);
    });
    await fc.assert(property, { numRuns: 150 });
  });
});

describe('the provider’s keys', () => {
  test('are read once for many tokens, and again for a new key', async () => {
    const lab = await openLab();
    try {
      const reads = (): number => lab.provider.front.requests('/jwks').length;
      for (let at = 0; at < 5; at += 1)
        assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token({ jti: `${at}` })}`)), '200');
      assert.equal(reads(), 1);
      const next = await createSigningKey('ES256', 'ec-2');
      publishKeys(lab.provider, lab.key, next);
      assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token({}, next)}`)), '200');
      assert.equal(reads(), 2);
      const stranger = await createSigningKey('ES256', 'ec-3');
      for (let at = 0; at < 20; at += 1) {
        assert.equal(
          codeOf(await ask(lab, `Bearer ${await lab.token({ jti: `${at}` }, stranger)}`)),
          '401 invalid_token',
        );
      }
      assert.equal(reads(), 2, 'unknown keys are not looked for within the cool-down');
      assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token({ jti: 'old key' })}`)), '200');
    } finally {
      await lab.close();
    }
  });

  test('withdrawn, end what was signed with them once the keys are due, remembered tokens too', async () => {
    const lab = await openLab();
    try {
      const token = await lab.token({ exp: Math.floor(lab.clock.now() / 1000) + 86_400 });
      assert.equal(codeOf(await ask(lab, `Bearer ${token}`)), '200');
      publishKeys(lab.provider, await createSigningKey('ES256', 'ec-2'));
      lab.clock.advance(3_600_000);
      assert.equal(codeOf(await ask(lab, `Bearer ${token}`)), '401 invalid_token');
    } finally {
      await lab.close();
    }
  });

  test('missing, refuse nobody: 503 and Retry-After until they are there', async () => {
    const lab = await openLab((provider) => provider.front.on('/jwks', answerJson({}, 500)));
    try {
      const token = await lab.token();
      for (let at = 0; at < 5; at += 1) {
        const response = await ask(lab, `Bearer ${token}`);
        assert.equal(codeOf(response), '503 idp_unavailable');
        assert.match(headerOf(response, 'retry-after') ?? '', /^\d+$/);
      }
      assert.equal(lab.provider.front.requests('/jwks').length, 1, 'a provider that fails is not asked for each token');
      publishKeys(lab.provider, lab.key);
      lab.clock.advance(2_000);
      assert.equal(codeOf(await ask(lab, `Bearer ${token}`)), '200');
    } finally {
      await lab.close();
    }
  });

  for (const [what, behaviour] of [
    ['no JSON', answerJson('keys')],
    ['silence', hang()],
  ] as const) {
    test(`unusable (${what}), are an outage`, async () => {
      const lab = await openLab((provider) => provider.front.on('/jwks', behaviour));
      try {
        assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token()}`)), '503 idp_unavailable');
      } finally {
        await lab.close();
      }
    });
  }

  test('known, outlast the provider: old and new tokens pass, an unknown key is an outage', async () => {
    const lab = await openLab();
    try {
      const known = await lab.token();
      assert.equal(codeOf(await ask(lab, `Bearer ${known}`)), '200');
      await lab.provider.front.down();
      assert.equal(codeOf(await ask(lab, `Bearer ${known}`)), '200');
      assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token({ jti: 'new' })}`)), '200');
      const next = await createSigningKey('ES256', 'ec-2');
      const rotated = await lab.token({}, next);
      for (let at = 0; at < 2; at += 1)
        assert.equal(codeOf(await ask(lab, `Bearer ${rotated}`)), '503 idp_unavailable');
      assert.equal(codeOf(await ask(lab, `Bearer ${await lab.token({ jti: 'newer' })}`)), '200');
      await lab.provider.front.up();
      publishKeys(lab.provider, lab.key, next);
      lab.clock.advance(30_000);
      assert.equal(codeOf(await ask(lab, `Bearer ${rotated}`)), '200');
    } finally {
      await lab.close();
    }
  });
});

function toBase64url(text: string): string {
  return Buffer.from(text).toString('base64url');
}

test('introspection asks as the client, believes the answer for its time, and an outage is 503', async () => {
  const path = '/introspect';
  const metadata = async (provider: ScriptedProvider): Promise<void> => {
    const introspection_endpoint = `${provider.issuer}${path}`;
    const behaviour = answerJson(await provider.metadata({ introspection_endpoint }));
    provider.front.on('/.well-known/openid-configuration', behaviour);
  };
  const provided = Promise.withResolvers<void>();
  const lab = await openLab(
    (provider) => {
      provider.front.on('/.well-known/openid-configuration', answerJson({}, 503));
      void metadata(provider).then(provided.resolve, provided.reject);
    },
    { enabled: true, cache: '30s' },
  );
  try {
    await provided.promise;
    const { front } = lab.provider;
    front.on(path, answerJson({ active: true, sub: 'robot', aud: AUDIENCE, token_type: 'Bearer' }));
    const response = await ask(lab, 'Bearer opaque-1');
    assert.equal(codeOf(response), '200');
    assert.equal(headerOf(response, 'x-user-id'), 'robot');
    assert.equal(headerOf(response, 'authorization'), 'Bearer opaque-1');
    assert.equal(codeOf(await ask(lab, 'Bearer opaque-1')), '200');
    const asked = front.requests(path);
    assert.equal(asked.length, 1);
    assert.match(String(asked[0]!.headers['authorization']), /^Basic /);
    assert.equal(new URLSearchParams(asked[0]!.body).get('token'), 'opaque-1');
    for (const behaviour of [answerJson({}, 500), answerJson({ error: 'invalid_client' }, 401), answerJson('text')]) {
      front.on(path, behaviour);
      assert.equal(codeOf(await ask(lab, 'Bearer opaque-2')), '503 idp_unavailable');
    }
    assert.equal(codeOf(await ask(lab, 'Bearer opaque-1')), '200', 'what is remembered passes meanwhile');
    front.on(path, answerJson({ active: false }));
    assert.equal(codeOf(await ask(lab, 'Bearer opaque-3')), '401 invalid_token');
    assert.ok(!JSON.stringify(lab.server.log).includes('opaque-'), 'no token in the log');
  } finally {
    await lab.close();
  }
});
