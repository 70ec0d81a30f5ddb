import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { Service } from '../../src/core/config/types.ts';
import { isSallyportError } from '../../src/core/errors.ts';
import {
  createServiceTable,
  type ServiceRuntime,
  type ServiceTable,
  type Target,
  type Waiter,
} from '../../src/proxy/http-pools.ts';

const service: Service = {
  name: 's',
  urls: ['http://a:1', 'http://b:1', 'http://c:1'],
  token: { source: 'none' },
  timeouts: { connectMs: 1000, headersMs: 1000, bodyIdleMs: 1000 },
  pool: { connections: 2, queue: 1 },
  tls: undefined,
};

describe('the places of a service', () => {
  const tables: ServiceTable[] = [];
  let now = 1_000_000;
  const create = (changes: Partial<Service> = {}): ServiceRuntime => {
    const table = createServiceTable([{ ...service, ...changes }], { now: () => now });
    tables.push(table);
    return table.find('s');
  };
  afterEach(async () => {
    await Promise.all(tables.splice(0).map((table) => table.close()));
  });
  /** Ask for a place; undefined while it has none. */
  const enter = (runtime: ServiceRuntime): { target: Target | undefined; waiter: Waiter } => {
    const place: { target: Target | undefined; waiter: Waiter } = {
      target: undefined,
      waiter: {
        run(target) {
          place.target = target;
        },
      },
    };
    runtime.enter(place.waiter);
    return place;
  };
  const take = (runtime: ServiceRuntime): Target => {
    const { target } = enter(runtime);
    assert.ok(target !== undefined, 'no place');
    return target;
  };
  const isOverloaded = (error: unknown): boolean =>
    isSallyportError(error) && error.code === 'overloaded' && error.retryAfterS === 1;

  test('go round while all are equally busy', () => {
    const runtime = create();
    const origins = Array.from({ length: 6 }, () => take(runtime).origin);
    assert.deepEqual(origins.sort(), [
      'http://a:1',
      'http://a:1',
      'http://b:1',
      'http://b:1',
      'http://c:1',
      'http://c:1',
    ]);
  });

  test('go to the least busy', () => {
    const runtime = create();
    const [first, second, third] = [take(runtime), take(runtime), take(runtime)];
    assert.equal(new Set([first, second, third]).size, 3);
    runtime.release(second, false);
    assert.equal(take(runtime), second);
  });

  test('pass over an address that could not be reached, for five seconds, and not if it is the only one left', () => {
    const runtime = create();
    const lost = take(runtime);
    runtime.release(lost, true);
    for (const target of Array.from({ length: 4 }, () => take(runtime))) {
      assert.notEqual(target, lost);
      runtime.release(target, false);
    }
    now += 5_000;
    assert.ok(Array.from({ length: 3 }, () => take(runtime)).includes(lost));
    const only = create({ urls: ['http://a:1'] });
    only.release(take(only), true);
    assert.equal(take(only).origin, 'http://a:1');
  });

  test('end at connections and queue, and are handed on in the order of asking', () => {
    const runtime = create({ urls: ['http://a:1'], pool: { connections: 2, queue: 2 } });
    const [held] = [take(runtime), take(runtime)];
    const [third, fourth] = [enter(runtime), enter(runtime)];
    assert.throws(() => enter(runtime), isOverloaded);
    assert.equal(third.target, undefined);
    runtime.release(held, false);
    assert.equal(third.target, held);
    assert.equal(fourth.target, undefined);
  });

  test('go to nobody who left the queue, whose place is free again', () => {
    const runtime = create({ urls: ['http://a:1'], pool: { connections: 1, queue: 1 } });
    const held = take(runtime);
    const gone = enter(runtime);
    runtime.leave(gone.waiter);
    const next = enter(runtime);
    assert.throws(() => enter(runtime), isOverloaded);
    runtime.release(held, false);
    assert.equal(gone.target, undefined);
    assert.equal(next.target, held);
  });
});
