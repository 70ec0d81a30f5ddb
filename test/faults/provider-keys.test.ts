import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { answer, answerJson, type Behaviour, hang, reset } from '../support/misbehaving-service.ts';
import { createSigningKey, publishKeys, type SigningKey, signIdToken } from '../support/scripted-provider.ts';
import { createMovableClock, type MovableClock } from '../support/test-server.ts';
import { type Attempt, assertRefused, type ProviderLab, startProviderLab } from './provider-lab.ts';

const COOL_DOWN_MS = 30_000;

/** Run with a fresh lab, whose server has read no keys yet. */
async function withLab(
  run: (lab: ProviderLab, clock: MovableClock) => Promise<void>,
  options: { readonly idp?: Readonly<Record<string, unknown>>; readonly expectedErrors?: readonly string[] } = {},
): Promise<void> {
  const clock = createMovableClock();
  const lab = await startProviderLab({ clock, ...options });
  try {
    await run(lab, clock);
  } finally {
    await lab.close();
  }
}

function signInWith(lab: ProviderLab, key: SigningKey): Promise<Attempt> {
  return lab.attempt({
    patch: async ({ provider, nonce }) => ({ id_token: await signIdToken(provider, key, nonce) }),
  });
}

function keyRequests({ provider }: ProviderLab): number {
  return provider.front.requests('/jwks').length;
}

describe('a key set that cannot be used', { concurrency: 3 }, () => {
  const faults: readonly (readonly [string, Behaviour, ErrorCode])[] = [
    ['that resets the connection', reset(), 'idp_unavailable'],
    ['that answers 503', answer(503, {}, ''), 'idp_unavailable'],
    ['that answers 404', answer(404, {}, ''), 'idp_bad_response'],
    ['that answers nothing', hang(), 'service_timeout'],
    ['that is HTML', answer(200, { 'content-type': 'text/html' }, '<h1>Hi</h1>'), 'idp_bad_response'],
    ['without keys', answerJson({}), 'idp_bad_response'],
    ['whose keys are no objects', answerJson({ keys: [1, 'x'] }), 'idp_bad_response'],
    ['of too many keys', answerJson({ keys: Array.from({ length: 65 }, () => ({ kty: 'EC' })) }), 'idp_bad_response'],
    ['that redirects', answer(302, { location: '/jwks-followed' }, ''), 'idp_bad_response'],
    ['that is empty', answerJson({ keys: [] }), 'callback_invalid'],
  ];
  for (const [name, behaviour, code] of faults) {
    test(`one ${name} ends as ${code}, and the next sign-in finds the right one`, () =>
      withLab(
        async (lab, clock) => {
          const { front } = lab.provider;
          front.on('/jwks', behaviour);
          await assertRefused(lab, await lab.signIn(), code);
          assert.deepEqual(front.requests('/jwks-followed'), []);
          publishKeys(lab.provider, lab.keys.ec);
          // An empty set is a set: only the cool-down lets it be read again.
          clock.advance(COOL_DOWN_MS);
          assert.equal((await lab.signIn()).response.status, 302);
        },
        { expectedErrors: ERRORS[code].level === 'error' ? [code] : [] },
      ));
  }
});

describe('key rotation', { concurrency: 3 }, () => {
  test('an unknown kid is looked up once; others within the cool-down are refused without a request', () =>
    withLab(async (lab, clock) => {
      assert.equal((await lab.signIn()).response.status, 302);
      assert.equal((await lab.signIn()).response.status, 302);
      assert.equal(keyRequests(lab), 1, 'keys are kept between sign-ins');
      const next = await createSigningKey('ES256', 'next');
      publishKeys(lab.provider, lab.keys.ec, next);
      assert.equal((await signInWith(lab, next)).response.status, 302, 'the new key is found by itself');
      assert.equal(keyRequests(lab), 2);
      for (let i = 0; i < 3; i++)
        await assertRefused(lab, await signInWith(lab, lab.keys.stranger), 'callback_invalid');
      assert.equal(keyRequests(lab), 2);
      clock.advance(COOL_DOWN_MS - 1_000);
      await assertRefused(lab, await signInWith(lab, lab.keys.stranger), 'callback_invalid');
      assert.equal(keyRequests(lab), 2);
      clock.advance(1_000);
      for (let i = 0; i < 3; i++)
        await assertRefused(lab, await signInWith(lab, lab.keys.stranger), 'callback_invalid');
      assert.equal(keyRequests(lab), 3, 'one more after the cool-down');
      assert.equal((await lab.signIn()).response.status, 302, 'known keys go on');
    }));

  test('sign-ins that meet the new key at the same moment share one request and all succeed', () =>
    withLab(async (lab) => {
      await lab.signIn();
      const next = await createSigningKey('ES256', 'next');
      lab.provider.front.on('/jwks', async (request, response) => {
        await new Promise((resolve) => setTimeout(resolve, 150));
        await answerJson({ keys: [next.jwk] })(request, response);
      });
      const attempts = await Promise.all(Array.from({ length: 6 }, () => signInWith(lab, next)));
      assert.deepEqual(
        attempts.map(({ response }) => response.status),
        Array.from({ length: 6 }, () => 302),
      );
      assert.equal(keyRequests(lab), 2);
    }));

  test('keys that were read stay when reading again fails', () =>
    withLab(
      async (lab) => {
        await lab.signIn();
        lab.provider.front.on('/jwks', reset());
        await assertRefused(lab, await signInWith(lab, lab.keys.stranger), 'idp_unavailable');
        assert.equal((await lab.signIn()).response.status, 302);
      },
      { expectedErrors: ['idp_unavailable'] },
    ));

  test('a withdrawn key is refused once the set is as old as metadata may become; an outage then changes nothing', () =>
    withLab(
      async (lab, clock) => {
        await lab.signIn();
        lab.provider.front.on('/jwks', reset());
        clock.advance(61_000);
        assert.equal((await lab.signIn()).response.status, 302, 'the keys cannot be read: the old ones are used');
        const requests = keyRequests(lab);
        assert.equal((await lab.signIn()).response.status, 302);
        assert.equal(keyRequests(lab), requests, 'and not asked for again within the cool-down');
        const next = await createSigningKey('ES256', 'next');
        publishKeys(lab.provider, next);
        clock.advance(COOL_DOWN_MS);
        assert.equal((await signInWith(lab, next)).response.status, 302);
        await assertRefused(lab, await lab.signIn(), 'callback_invalid');
      },
      { idp: { metadata: { refresh: '1m' } } },
    ));
});
