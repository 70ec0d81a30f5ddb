import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import type { Route, Service } from '../../src/core/config/types.ts';
import { isSallyportError, type SallyportError } from '../../src/core/errors.ts';
import {
  createServiceTable,
  type Place,
  type ServiceRuntime,
  type ServiceTable,
  type ServiceTableOptions,
  type Waiter,
} from '../../src/proxy/http-pools.ts';
import { until } from '../support/until.ts';

const service: Service = {
  name: 's',
  urls: ['http://127.0.0.1:1', 'http://127.0.0.1:2', 'http://127.0.0.1:3'],
  token: {
    source: 'none',
    eager: false,
    idp: 'main',
    audience: undefined,
    scopes: [],
    requireAny: [],
    requireAll: [],
  },
  timeouts: { connectMs: 1000, headersMs: 1000, bodyIdleMs: 1000, totalMs: undefined },
  pool: { connections: 2, queue: 1 },
  health: undefined,
  retries: 0,
  tls: undefined,
};
const health = { failures: 3, ejectMs: 10_000 };

type Asked = { place?: Place; error?: SallyportError; readonly waiter: Waiter };

const placeOf = ({ place }: Asked): Place | undefined => place;

const tables: ServiceTable[] = [];
let now = 1_000_000;
const create = (changes: Partial<Service> = {}, options: Partial<ServiceTableOptions> = {}): ServiceRuntime => {
  const log = { warn() {}, info() {} };
  const services = [{ ...service, ...changes }];
  const table = createServiceTable({ services, routes: [], clock: { now: () => now }, log, ...options });
  tables.push(table);
  return table.find('s');
};
afterEach(async () => {
  await Promise.all(tables.splice(0).map((table) => table.close()));
});

/** Ask for a place; undefined while it has none. */
const ask = (runtime: ServiceRuntime, how: Partial<Waiter> = {}): Asked => {
  const asked: Asked = {
    waiter: {
      isSocket: false,
      avoid: undefined,
      run(place) {
        asked.place = place;
      },
      fail(error) {
        asked.error = error;
      },
      ...how,
    },
  };
  runtime.enter(asked.waiter);
  return asked;
};
const take = (runtime: ServiceRuntime, how: Partial<Waiter> = {}): Place => {
  const { place } = ask(runtime, how);
  assert.ok(place !== undefined, 'no place');
  return place;
};
/** One request that ends so. */
const use = (runtime: ServiceRuntime, outcome: Parameters<Place['report']>[0]): Place => {
  const place = take(runtime);
  place.report(outcome);
  place.release();
  return place;
};
const isError =
  (code: string, retryAfterS?: number) =>
  (error: unknown): boolean =>
    isSallyportError(error) && error.code === code && error.retryAfterS === retryAfterS;

describe('the places of a service', () => {
  test('go round while all are equally busy', () => {
    const runtime = create();
    const origins = Array.from({ length: 6 }, () => take(runtime).target.origin);
    assert.deepEqual(origins.sort(), [...service.urls, ...service.urls].sort());
  });

  test('go to the least busy', () => {
    const runtime = create();
    const [first, second, third] = [take(runtime), take(runtime), take(runtime)];
    assert.equal(new Set([first.target, second.target, third.target]).size, 3);
    second.release();
    assert.equal(take(runtime).target, second.target);
  });

  test('pass over an address that could not be reached, for five seconds, and not if it is the only one left', () => {
    const runtime = create();
    const lost = use(runtime, 'unreachable').target;
    for (const place of Array.from({ length: 4 }, () => take(runtime))) {
      assert.notEqual(place.target, lost);
      place.release();
    }
    now += 5_000;
    assert.ok(Array.from({ length: 3 }, () => take(runtime).target).includes(lost));
    const only = create({ urls: ['http://127.0.0.1:1'] });
    use(only, 'unreachable');
    assert.equal(take(only).target.origin, 'http://127.0.0.1:1');
  });

  test('of a second try are at another address, if there is one', () => {
    const runtime = create();
    const first = take(runtime);
    for (let i = 0; i < 6; i++) {
      const second = take(runtime, { avoid: first.target });
      assert.notEqual(second.target, first.target);
      second.release();
    }
    const only = create({ urls: ['http://127.0.0.1:1'] });
    const { target } = use(only, 'failed');
    assert.equal(take(only, { avoid: target }).target, target);
  });

  test('end at connections and queue, and are handed on in the order of asking', () => {
    const runtime = create({ urls: ['http://127.0.0.1:1'], pool: { connections: 2, queue: 2 } });
    const [held] = [take(runtime), take(runtime)];
    const [third, fourth] = [ask(runtime), ask(runtime)];
    assert.throws(() => ask(runtime), isError('overloaded', 1));
    assert.equal(third.place, undefined);
    held.release();
    assert.equal(placeOf(third)?.target, held.target);
    assert.equal(fourth.place, undefined);
  });

  test('go to nobody who left the queue, whose place is free again', () => {
    const runtime = create({ urls: ['http://127.0.0.1:1'], pool: { connections: 1, queue: 1 } });
    const held = take(runtime);
    const gone = ask(runtime);
    runtime.leave(gone.waiter);
    const next = ask(runtime);
    assert.throws(() => ask(runtime), isError('overloaded', 1));
    held.release();
    assert.equal(gone.place, undefined);
    assert.equal(next.place?.target, held.target);
  });

  test('of WebSockets are balanced among themselves and take no connection from requests', () => {
    const runtime = create();
    const sockets = Array.from({ length: 30 }, () => take(runtime, { isSocket: true }));
    const counts = service.urls.map((url) => sockets.filter(({ target }) => target.origin === url).length);
    assert.deepEqual(counts, [10, 10, 10]);
    assert.equal(new Set(Array.from({ length: 6 }, () => take(runtime))).size, 6);
    assert.throws(() => [ask(runtime), ask(runtime)], isError('overloaded', 1));
  });
});

describe('the health of an address', () => {
  const one = { urls: ['http://127.0.0.1:1'], pool: { connections: 8, queue: 8 }, health };
  const open = isError('service_unavailable', 10);

  test('ends its traffic after so many failures in a row, whatever they were', () => {
    const runtime = create(one);
    use(runtime, 'failed');
    use(runtime, 'unreachable');
    use(runtime, 'answered');
    use(runtime, 'failed');
    use(runtime, 'unreachable');
    assert.ok(take(runtime));
    use(runtime, 'failed');
    assert.throws(() => take(runtime), open);
  });

  test('is left alone by other addresses, which take its traffic', () => {
    const runtime = create({ health, pool: { connections: 8, queue: 8 } });
    const { target } = take(runtime);
    target.health.failed(now);
    target.health.failed(now);
    target.health.failed(now);
    for (let i = 0; i < 6; i++) assert.notEqual(take(runtime).target, target);
  });

  test('is tried by a single request when the pause is over; its answer lets all through again', () => {
    const runtime = create(one);
    for (let i = 0; i < 3; i++) use(runtime, 'failed');
    now += health.ejectMs;
    const probe = take(runtime);
    assert.throws(() => take(runtime), isError('service_unavailable', 1));
    probe.report('answered');
    // It goes on, as an event stream would.
    assert.ok(take(runtime));
    assert.ok(take(runtime));
  });

  test('is paused anew by the failure of that request, and tried again if it ended without any news', () => {
    const runtime = create(one);
    for (let i = 0; i < 3; i++) use(runtime, 'failed');
    now += health.ejectMs;
    take(runtime).release();
    use(runtime, 'unreachable');
    assert.throws(() => take(runtime), open);
    now += health.ejectMs;
    use(runtime, 'answered');
    use(runtime, 'failed');
    assert.ok(take(runtime), 'the count begins anew');
  });

  test('that ends the traffic sends away at once who waits for a connection', () => {
    const runtime = create({ ...one, pool: { connections: 3, queue: 8 } });
    const held = [take(runtime), take(runtime), take(runtime)];
    const waiting = ask(runtime);
    for (const place of held) place.report('failed');
    held[0]?.release();
    assert.equal(waiting.place, undefined);
    assert.ok(open(waiting.error));
  });
});

describe('a name with several addresses', () => {
  const named = { urls: ['http://api:8000'], pool: { connections: 8, queue: 8 } };
  /** A resolver whose answers a test decides. */
  const resolver = (first: readonly string[]) => {
    const state = { addresses: first, asked: 0 };
    return {
      state,
      resolveMs: 5,
      resolve(name: string) {
        assert.equal(name, 'api');
        state.asked += 1;
        if (state.addresses.length === 0) return Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }));
        return Promise.resolve(state.addresses);
      },
    };
  };
  /** The addresses that the next requests would connect to. */
  const reached = (runtime: ServiceRuntime): string[] => {
    const places = Array.from({ length: 6 }, () => take(runtime));
    for (const place of places) place.release();
    return [...new Set(places.map(({ target }) => addressesOf(target.lookup)))].sort();
  };
  const addressesOf = (lookup: Place['target']['lookup']): string => {
    let found = '';
    lookup?.('api', { all: true }, (_error, addresses) => {
      found = (addresses as { address: string }[]).map(({ address }) => address).join(' ');
    });
    return found;
  };

  test('is balanced over all of them, and requests wait for the first answer', async () => {
    const runtime = create(named, resolver(['10.0.0.1', '10.0.0.2', '10.0.0.3']));
    const early = ask(runtime);
    assert.equal(early.place, undefined);
    await until(() => early.place !== undefined, 'the name is resolved');
    placeOf(early)?.release();
    assert.deepEqual(reached(runtime), ['10.0.0.1', '10.0.0.2', '10.0.0.3']);
  });

  test('is resolved again: new addresses are used, those that are gone no more', async () => {
    const names = resolver(['10.0.0.1', '10.0.0.2']);
    const runtime = create(named, names);
    await until(() => ask(runtime).place !== undefined, 'the name is resolved');
    const onGone = take(runtime, { avoid: take(runtime).target });
    names.state.addresses = ['10.0.0.3'];
    await until(() => reached(runtime).join() === '10.0.0.3', 'the new address');
    onGone.release();
    assert.deepEqual(reached(runtime), ['10.0.0.3']);
  });

  test('keeps its addresses while it cannot be resolved', async () => {
    const names = resolver(['10.0.0.1']);
    const runtime = create(named, names);
    await until(() => ask(runtime).place !== undefined, 'the name is resolved');
    const { target } = take(runtime);
    names.state.addresses = [];
    const { asked } = names.state;
    await until(() => names.state.asked > asked + 2, 'further look-ups');
    assert.equal(take(runtime).target, target);
  });

  test('and none at all fails at once, waiting requests too', async () => {
    const names = resolver([]);
    const runtime = create(named, { ...names, resolveMs: 60_000 });
    const early = ask(runtime);
    await until(() => early.error !== undefined, 'the look-up fails');
    assert.ok(isError('service_connect_failed')(early.error));
    assert.throws(() => take(runtime), isError('service_connect_failed'));
    assert.equal(names.state.asked, 1, 'a failure is remembered for a moment');
  });

  test('is connected to in the family that comes first, with the other to fall back to', async () => {
    const runtime = create(named, resolver(['::1', '10.0.0.1', 'fd00::2', '10.0.0.2']));
    await until(() => ask(runtime).place !== undefined, 'the name is resolved');
    assert.deepEqual(reached(runtime), ['::1 10.0.0.1', 'fd00::2 10.0.0.2']);
  });
});

test('connecting takes as long as the most patient route of a service allows', () => {
  const route = (service: string, connectMs?: number): Pick<Route, 'service' | 'timeouts'> => ({
    service,
    timeouts: connectMs === undefined ? {} : { connectMs },
  });
  assert.equal(create({}, { routes: [route('s', 5000), route('s'), route('other', 9000)] }).connectMs, 5000);
  assert.equal(create({}, { routes: [route('s', 10)] }).connectMs, 1000);
});
