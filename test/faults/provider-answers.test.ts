import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Redis } from 'iovalkey';
import { skipWithout } from '../support/parts.ts';
import { createBrowser } from '../support/raw-client.ts';
import { startRedis } from '../support/redis.ts';
import { signIdToken } from '../support/scripted-provider.ts';
import { until } from '../support/until.ts';
import { ANSWER_FAULTS, atHash, ID_TOKEN_FAULTS, MEMBER_FAULTS, USERINFO_FAULTS } from './provider-cases.ts';
import { assertRefused, type ProviderLab, startProviderLab } from './provider-lab.ts';

describe('a provider that fails after the user has signed in', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ idp: { userinfo: true }, expectedErrors: ['idp_unavailable'] });
  });
  after(() => lab.close());

  for (const fault of [...ANSWER_FAULTS, ...MEMBER_FAULTS, ...ID_TOKEN_FAULTS, ...USERINFO_FAULTS]) {
    test(`${fault.name} ends as ${fault.code}, without a session`, async () => {
      const attempt = await lab.attempt(fault);
      await assertRefused(lab, attempt, fault.code);
      await until(() => lab.provider.front.pending() === 0, 'no call to the provider is left open');
    });
  }

  test('a sign-in after all of them works, and verify answers 200', async () => {
    const { browser, response } = await lab.signIn();
    assert.equal(response.status, 302);
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  });

  test('what only looks odd is accepted: the right at_hash, one audience in a list, our azp, a small skew', async () => {
    const accessToken = 'at-with-a-known-hash-0123456789';
    const soon = Math.floor(Date.now() / 1000) + 20;
    const odd = { at_hash: atHash(accessToken), aud: ['bff-client'], azp: 'bff-client', iat: soon, nbf: soon };
    const { browser, response } = await lab.attempt({
      patch: async ({ provider, keys, nonce }) => ({
        access_token: accessToken,
        id_token: await signIdToken(provider, keys.ec, nonce, odd),
      }),
    });
    assert.equal(response.status, 302);
    assert.equal((await browser.verify({ as: 'fetch' })).status, 200);
  });

  test('no redirect was followed', () => {
    assert.deepEqual(lab.provider.front.requests('/token-followed'), []);
    assert.deepEqual(lab.provider.front.requests('/userinfo-followed'), []);
  });
});

describe('what refused sign-ins leave in the store', { skip: skipWithout('redis-server') }, () => {
  test('is the used-up state alone: no session, no index', async () => {
    const redis = await startRedis();
    const look = redis.connect();
    try {
      const store = { kind: 'redis', redis: { mode: 'single', url: redis.url, command_timeout: '2s' } };
      await refuseAllOn({ store }, look);
    } finally {
      look.disconnect();
      await redis.remove();
    }
  });

  async function refuseAllOn(settings: Record<string, unknown>, look: Redis): Promise<void> {
    const lab = await startProviderLab({ idp: { userinfo: true }, settings, expectedErrors: ['idp_unavailable'] });
    try {
      const quick = USERINFO_FAULTS.filter(({ code }) => code !== 'service_timeout');
      const faults = [...MEMBER_FAULTS, ...ID_TOKEN_FAULTS, ...quick];
      for (const fault of faults) assert.notEqual((await lab.attempt(fault)).response.status, 302, fault.name);
      const keys = await look.keys('*');
      assert.deepEqual(
        keys.filter((key) => !key.startsWith('sp:o:')),
        [],
      );
      assert.equal(keys.length, faults.length);
      assert.equal((await lab.signIn()).response.status, 302);
      assert.equal((await look.keys('sp:s:*')).length, 1, 'a session would have been found');
    } finally {
      await lab.close();
    }
  }
});

describe('an error in the authorization answer', () => {
  let lab: ProviderLab;
  before(async () => {
    lab = await startProviderLab({ expectedErrors: ['idp_unavailable'] });
  });
  after(() => lab.close());

  const answers = {
    access_denied: 'login_denied',
    temporarily_unavailable: 'idp_unavailable',
    server_error: 'idp_unavailable',
    login_required: 'callback_invalid',
    invalid_scope: 'callback_invalid',
    unauthorized_client: 'callback_invalid',
    '<b>x</b>': 'callback_invalid',
  } as const;
  for (const [error, code] of Object.entries(answers)) {
    test(`${error} ends as ${code}, with no token call`, async () => {
      const browser = createBrowser(lab.server);
      const { state } = await browser.beginLogin();
      lab.provider.codeFor({ nonce: null });
      const query = new URLSearchParams({
        error,
        error_description: '<i>because</i>',
        state,
        iss: lab.provider.issuer,
      });
      const response = await browser.ask(`/auth/callback?${query}`);
      await assertRefused(lab, { browser, response }, code);
      assert.ok(!response.body.includes('because'), 'the text of the provider is not shown');
      assert.deepEqual(lab.provider.front.requests('/token'), []);
    });
  }
});
