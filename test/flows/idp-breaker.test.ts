import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { isSallyportError, SallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import type { OutboundFetch } from '../../src/core/outbound.ts';
import { withBreaker } from '../../src/flows/idp-breaker.ts';
import { createClock } from '../core/sessions-support.ts';

const TOKEN = 'https://idp.example.test/token?x=1';
const USERINFO = 'https://idp.example.test/userinfo';
/** An answer, or the end of the call. */
type Answer = number | 'idp_unavailable' | 'service_timeout' | 'idp_bad_response';

describe('the breaker of a provider', () => {
  let sent = 0;
  let answer: Answer = 200;
  let clock = createClock();
  let fetch: OutboundFetch = () => Promise.reject(new TypeError('not there yet'));
  beforeEach(() => {
    sent = 0;
    clock = createClock();
    fetch = withBreaker(async () => {
      sent += 1;
      if (typeof answer === 'string') throw new SallyportError(answer);
      return new Response(null, { status: answer });
    }, clock);
  });
  const call = async (url = TOKEN): Promise<Answer | 'paused'> => {
    try {
      return (await fetch(url)).status;
    } catch (error) {
      if (!isSallyportError(error)) throw error;
      if (error.detail?.endsWith('nothing was sent') !== true) return error.code as Answer;
      assert.equal(error.code, 'idp_unavailable');
      assert.ok(error.retryAfterS === 1 || error.retryAfterS === 2);
      return 'paused';
    }
  };
  const fail = async (how: Answer, times: number = LIMITS.breakerFailures): Promise<void> => {
    answer = how;
    for (let i = 0; i < times; i += 1) assert.equal(await call(), how);
  };

  for (const outage of ['idp_unavailable', 'service_timeout', 500, 503] as const) {
    test(`pauses after ${LIMITS.breakerFailures} times ${outage} in a row, for that endpoint alone`, async () => {
      await fail(outage);
      assert.equal(await call(), 'paused');
      assert.equal(sent, LIMITS.breakerFailures, 'nothing was sent');
      assert.equal(await call(USERINFO), outage, 'another endpoint is asked');
    });
  }

  for (const answered of [200, 400, 401, 429, 'idp_bad_response'] as const) {
    test(`lets go on where ${answered} comes in between`, async () => {
      await fail(503, LIMITS.breakerFailures - 1);
      answer = answered;
      assert.equal(await call(), answered);
      await fail(503, LIMITS.breakerFailures - 1);
      assert.equal(await call(), 503);
    });
  }

  test('after the pause one call finds out; its answer lets all through', async () => {
    await fail('service_timeout');
    clock.time += LIMITS.breakerPauseMs - 1;
    assert.equal(await call(), 'paused');
    clock.time += 1;
    assert.deepEqual(await Promise.all([call(), call(), call()]), ['service_timeout', 'paused', 'paused']);
    clock.time += LIMITS.breakerPauseMs;
    answer = 200;
    assert.equal(await call(), 200);
    assert.deepEqual(await Promise.all([call(), call(), call()]), [200, 200, 200]);
  });
});
