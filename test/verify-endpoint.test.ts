import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Problem } from '../src/core/answer.ts';
import type { Answers } from '../src/core/app-answers.ts';
import type { BaseExchange } from '../src/core/app-exchange.ts';
import { SallyportError } from '../src/core/errors.ts';
import { Late } from '../src/core/late.ts';
import type { Session } from '../src/core/services.ts';
import { VerifyLatency } from '../src/core/verify-latency.ts';
import { answerVerify, type VerifyEndpointServices } from '../src/verify-endpoint.ts';
import { contextOf, NOW, servicesOf, sessionOf } from './core/world.ts';

const ENTRY = { allPeersTrusted: false, shared: false, tail: false };
const OUTAGE = new SallyportError('store_unavailable');

/** One verify request whose session the store is asked for, and a list of all that becomes of it. */
function begin(look: () => Late<Session | undefined>) {
  const steps: string[] = [];
  const app = {
    keep: () => void steps.push('keep'),
    release: () => void steps.push('release'),
    allow: () => void steps.push('allow'),
    refuse: (_exchange: unknown, { code }: Problem) => void steps.push(code),
    fail: (_exchange: unknown, error: Error) => void steps.push(error.message),
  };
  const world = servicesOf({});
  const services = {
    verify: { ...world, sessions: { ...world.sessions, look } },
    metrics: { hot: { verifyAllow: 0 }, verifyLatency: new VerifyLatency() },
    sessionCookies: new Map(),
  };
  const exchange = { context: contextOf(), startedAt: NOW, open: true, flight: { count: 1 }, tokenService: '' };
  answerVerify(app as unknown as Answers<BaseExchange>, exchange, ENTRY, services as unknown as VerifyEndpointServices);
  return { app, steps, exchange };
}

describe('a verify request that waits for the store', () => {
  test('keeps its context until it is answered, and gives it back once, whatever the answer', () => {
    for (const [answer, end] of [
      ['allow', (late: Late<Session | undefined>) => late.settle(sessionOf())],
      ['authentication_required', (late: Late<Session | undefined>) => late.settle(undefined)],
      ['store_unavailable', (late: Late<Session | undefined>) => late.fail(OUTAGE)],
    ] as const) {
      const late = new Late<Session | undefined>();
      const { steps } = begin(() => late);
      assert.deepEqual(steps, ['keep']);
      end(late);
      assert.deepEqual(steps, ['keep', answer, 'release']);
    }
  });

  test('is answered as a defect where its answer cannot be written, and its context is free', () => {
    const late = new Late<Session | undefined>();
    const { app, steps } = begin(() => late);
    app.allow = () => {
      throw new TypeError('cannot be written');
    };
    late.settle(sessionOf());
    assert.deepEqual(steps, ['keep', 'cannot be written', 'release']);
    const failing = new Late<Session | undefined>();
    const refused = begin(() => failing);
    refused.app.refuse = app.allow;
    failing.fail(OUTAGE);
    assert.deepEqual(refused.steps, ['keep', 'cannot be written', 'release']);
  });

  test('whose client has left is not answered, and its context is free', () => {
    const late = new Late<Session | undefined>();
    const { steps, exchange } = begin(() => late);
    exchange.open = false;
    late.settle(sessionOf());
    assert.deepEqual(steps, ['keep', 'release']);
  });

  test('that cannot even ask is answered at once', () => {
    const { steps } = begin(() => {
      throw OUTAGE;
    });
    assert.deepEqual(steps, ['store_unavailable']);
  });
});
