import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, mock, test } from 'node:test';
import { SallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import {
  createLocalLimiter,
  createSharedLimiter,
  type RateLimiter,
  shareOf,
  spend,
} from '../../src/core/rate-limit.ts';
import type { StoreCounters } from '../../src/core/store.ts';

/** 3 at once, one each second: a window of 3 s. */
const THREE = { average: 60, periodMs: 60_000, burst: 3 };

beforeEach(() => mock.timers.enable({ apis: ['Date', 'setTimeout'], now: 1_000_000 }));
afterEach(() => mock.timers.reset());

async function times(limiter: RateLimiter, key: string, count: number): Promise<(number | undefined)[]> {
  const results: (number | undefined)[] = [];
  for (let n = 0; n < count; n += 1) results.push(await limiter.consume(key));
  return results;
}

describe('a limit of one process', () => {
  test('lets the burst pass, then says when the next window opens', async () => {
    const limiter = createLocalLimiter(THREE);
    assert.deepEqual(await times(limiter, 'a', 4), [undefined, undefined, undefined, 3]);
    mock.timers.tick(1_500);
    assert.deepEqual(await times(limiter, 'a', 1), [2], 'whole seconds, never too early');
    mock.timers.tick(1_500);
    assert.deepEqual(await times(limiter, 'a', 4), [undefined, undefined, undefined, 3]);
  });

  test('counts each key by itself', async () => {
    const limiter = createLocalLimiter(THREE);
    await times(limiter, 'a', 9);
    assert.deepEqual(await times(limiter, 'b', 3), [undefined, undefined, undefined]);
  });

  test('works in windows shorter than a second', async () => {
    const limiter = createLocalLimiter({ average: 100, periodMs: 1_000, burst: 10 });
    assert.deepEqual((await times(limiter, 'a', 11)).slice(9), [undefined, 1]);
    mock.timers.tick(100);
    assert.deepEqual(await times(limiter, 'a', 1), [undefined]);
  });

  test('remembers a bounded number of keys: strangers push out the oldest count, never refuse somebody else', async () => {
    const limiter = createLocalLimiter(THREE);
    await times(limiter, 'first', 4);
    mock.timers.tick(1);
    for (let n = 0; n < LIMITS.rateKeysMax - 2; n += 1) await limiter.consume(`stranger ${n}`);
    await times(limiter, 'last', 4);
    assert.deepEqual(await times(limiter, 'first', 1), [3], 'there was room for all');
    await limiter.consume('one more');
    assert.deepEqual(await times(limiter, 'first', 3), [undefined, undefined, undefined], 'its count is forgotten');
    assert.deepEqual(await times(limiter, 'last', 1), [3]);
  });

  test('the share of one of several processes keeps the average and at least one at once', async () => {
    assert.deepEqual(shareOf(THREE, 2), { average: 30, periodMs: 60_000, burst: 2 });
    assert.deepEqual(shareOf(THREE, 8), { average: 7.5, periodMs: 60_000, burst: 1 });
    const limiter = createLocalLimiter(shareOf(THREE, 8));
    assert.deepEqual(await times(limiter, 'a', 2), [undefined, 8]);
    mock.timers.tick(8_000);
    assert.deepEqual(await times(limiter, 'a', 1), [undefined]);
  });

  test('is an error with Retry-After where it is exceeded', async () => {
    const limiter = createLocalLimiter({ ...THREE, burst: 1 });
    await spend(limiter, 'a', 'login');
    await assert.rejects(spend(limiter, 'a', 'login'), { code: 'rate_limited', retryAfterS: 1, detail: 'login' });
  });
});

describe('a limit of several processes', () => {
  type Window = { count: number; readonly end: number };
  const createStore = () => {
    const windows = new Map<string, Window>();
    const state = { asked: 0, isDown: false, windows };
    const counters: StoreCounters = {
      async increment(key, windowMs) {
        state.asked += 1;
        if (state.isDown) throw new SallyportError('store_unavailable');
        const known = windows.get(key);
        const window = known !== undefined && known.end > Date.now() ? known : { count: 0, end: Date.now() + windowMs };
        window.count += 1;
        windows.set(key, window);
        return { count: window.count, leftMs: window.end - Date.now() };
      },
    };
    const process = (name = 'login') =>
      createSharedLimiter(THREE, { counters, name, hash: (text) => `hashed(${text})` });
    return { state, process };
  };

  test('counts together, by hashed keys, each kind of event apart', async () => {
    const { state, process } = createStore();
    const [a, b, grants] = [process(), process(), process('grant')];
    assert.deepEqual([await times(a, 'x', 2), await times(b, 'x', 2)].flat(), [undefined, undefined, undefined, 3]);
    assert.deepEqual(await times(grants, 'x', 1), [undefined]);
    assert.deepEqual([...state.windows.keys()], ['hashed(login x)', 'hashed(grant x)']);
    mock.timers.tick(3_000);
    assert.deepEqual(await times(b, 'x', 1), [undefined]);
  });

  test('asks the store no more than the burst for each key and window: a flood costs it nothing', async () => {
    const { state, process } = createStore();
    await times(process(), 'x', 100);
    assert.equal(state.asked, 3);
  });

  test('is kept by each process alone while the store is away: an outage neither stops people nor opens the door', async () => {
    const { state, process } = createStore();
    state.isDown = true;
    const [a, b] = [process(), process()];
    assert.deepEqual(await times(a, 'x', 4), [undefined, undefined, undefined, 3]);
    assert.deepEqual(await times(b, 'x', 4), [undefined, undefined, undefined, 3]);
    state.isDown = false;
    mock.timers.tick(3_000);
    assert.deepEqual([await times(a, 'x', 2), await times(b, 'x', 2)].flat(), [undefined, undefined, undefined, 3]);
  });

  test('tells a defect from an outage', async () => {
    const counters: StoreCounters = { increment: () => Promise.reject(new TypeError('a defect')) };
    const limiter = createSharedLimiter(THREE, { counters, name: 'login', hash: (text) => text });
    await assert.rejects(limiter.consume('x'), TypeError);
  });
});
