import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { answer, type Behaviour } from '../support/misbehaving-service.ts';
import { ALICE, type ScriptedProvider, signIdToken } from '../support/scripted-provider.ts';
import type { Keys } from './provider-cases.ts';
import { assertRefused, type ProviderLab, startProviderLab } from './provider-lab.ts';

/** UserInfo answers of type application/jwt that nobody may believe (OpenID Connect Core §5.3.2, §5.3.4). */
const FAULTS: Readonly<Record<string, (provider: ScriptedProvider, keys: Keys) => string | Promise<string>>> = {
  'without a signature (alg none)': (provider) => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'none' })}.${part({ iss: provider.issuer, aud: 'bff-client', sub: ALICE.sub })}.`;
  },
  'with the signature of a stranger under a known kid': (provider, keys) =>
    signIdToken(provider, { ...keys.stranger, kid: 'test-ec' }, 'n'),
  'with a signature that is not among id_token_algs': (provider, keys) => signIdToken(provider, keys.rsa, 'n'),
  'with the public key as an HMAC secret': (provider, keys) =>
    signIdToken(provider, { alg: 'HS256', kid: 'test-rsa', privateKey: Buffer.from(keys.rsa.jwk.n ?? '') }, 'n'),
  'that names another issuer': (provider, keys) =>
    signIdToken(provider, keys.ec, 'n', { iss: 'https://evil.example.test' }),
  'that is meant for another client': (provider, keys) => signIdToken(provider, keys.ec, 'n', { aud: 'other' }),
  'that is meant for nobody': (provider, keys) => signIdToken(provider, keys.ec, 'n', { aud: undefined }),
  'that is over': (provider, keys) => signIdToken(provider, keys.ec, 'n', { exp: 1 }),
  'of another user': (provider, keys) => signIdToken(provider, keys.ec, 'n', { sub: 'u-mallory' }),
  'that is no JWT': () => '{"sub":"u-alice"}',
};

describe('a signed UserInfo answer', () => {
  let lab: ProviderLab;
  before(async () => {
    const idp = { userinfo: true, claims_from: ['userinfo', 'id_token'] };
    lab = await startProviderLab({ idp, metadata: () => ({ userinfo_signing_alg_values_supported: undefined }) });
  });
  after(() => lab.close());

  for (const [name, make] of Object.entries(FAULTS)) {
    test(`${name} ends as idp_bad_response, without a session`, async () => {
      const attempt = await lab.attempt({ userinfo: jwt(await make(lab.provider, lab.keys)) });
      await assertRefused(lab, attempt, 'idp_bad_response');
    });
  }

  test('says in the log what was wrong with it', () => {
    const details = lab.server.log.map((line) => JSON.stringify(line)).join('\n');
    assert.match(details, /the signed UserInfo answer was refused: ERR_JWS_SIGNATURE_VERIFICATION_FAILED/);
  });

  for (const type of ['application/jwt', 'Application/JWT; charset=utf-8']) {
    test(`as ${type} with the provider's signature gives its claims`, async () => {
      const signed = await signIdToken(lab.provider, lab.keys.ec, 'n', { preferred_username: 'signed-alice' });
      const { browser, response } = await lab.attempt({ userinfo: jwt(signed, type) });
      assert.equal(response.status, 302);
      assert.match(JSON.stringify(await browser.verify({ as: 'fetch' })), /signed-alice/);
    });
  }
});

function jwt(body: string, type = 'application/jwt'): Behaviour {
  return answer(200, { 'content-type': type }, body);
}
