// What each kind of request may cost, counted instead of timed: a regression fails here without any clock.

import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { promiseHooks } from 'node:v8';
import { bytesPerCall } from '../../bench/lib/alloc.ts';
import { type Header, realisticHeaders, SITE_HOST } from '../../bench/lib/requests.ts';
import { compileAddressMatcher, parseAddress } from '../../src/core/address.ts';
import { systemClock } from '../../src/core/clock.ts';
import { type ContextReader, createContextReader } from '../../src/core/context.ts';
import { L1 } from '../../src/core/l1.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { compileOriginRules } from '../../src/core/origin.ts';
import { compileReplies } from '../../src/core/problem.ts';
import { createHeaderCheck, writeReply } from '../../src/core/reply.ts';
import { createSessions } from '../../src/core/sessions.ts';
import type { HotView } from '../../src/core/store.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { createValkeyStore } from '../../src/core/store-valkey.ts';
import { type VerifyServices, verify } from '../../src/core/verify.ts';
import { type Decision, type Denial, LateDecision } from '../../src/core/verify-decision.ts';
import { creationAt } from '../contract/session-store-behaviours.ts';
import { createBearerWorld } from '../core/bearer-world.ts';
import {
  ABSOLUTE_MS,
  createClock,
  IDLE_MS,
  loginOf,
  made,
  ringOf,
  TOMBSTONE_MS,
  watchStore,
} from '../core/sessions-support.ts';
import { contextOf, decisionOf, servicesOf } from '../core/world.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, whenReachable } from '../support/redis.ts';

const ENTRY = { allPeersTrusted: false, shared: false, tail: false };

/** Calls into native objects; each crosses from JavaScript into C++ and back. */
type NativeCalls = Record<string, number>;

/** A request and response that count what is asked of them. */
function nativeOf(headers: readonly Header[], calls: NativeCalls): { request: HttpRequest; response: HttpResponse } {
  const lines = [['host', 'verify.internal'] as const, ...headers];
  const lower = lines.map(([name, value]) => [name.toLowerCase(), value] as const);
  const peer = parseAddress('10.0.0.5') ?? new Uint8Array(4);
  const members: Record<string, (...args: never[]) => unknown> = {
    getCaseSensitiveMethod: () => 'GET',
    getUrl: () => '/auth/verify',
    getQuery: () => '',
    getHeader: (name: string) => lower.find(([known]) => known === name)?.[1] ?? '',
    forEach: (visit: (name: string, value: string) => void) =>
      lower.forEach(([name, value]) => void visit(name, value)),
    getRemoteAddress: () => peer.slice().buffer,
  };
  const counting = Object.fromEntries(
    Object.entries(members).map(([name, run]) => [
      name,
      (...args: never[]) => {
        calls[name] = (calls[name] ?? 0) + 1;
        return run(...args);
      },
    ]),
  );
  return { request: counting as unknown as HttpRequest, response: counting as unknown as HttpResponse };
}

/** Real sessions over a real store, with or without kept copies, behind verify of the test world. */
async function openScene(keeps: boolean) {
  const clock = createClock();
  const { store, calls } = watchStore(createMemoryStore());
  const base = servicesOf({});
  const l1 =
    keeps && store.changes !== undefined
      ? new L1({ changes: store.changes, maxEntries: 10, maxBytes: 1e6 })
      : undefined;
  const sessions = createSessions({
    store,
    ring: ringOf('k1'),
    clock,
    l1,
    settings: { idleMs: IDLE_MS, absoluteMs: ABSOLUTE_MS, maxPerUser: 0, checkSlides: true, exposedClaims: [] },
    identity: base.identity,
    tombstoneTtlMs: TOMBSTONE_MS,
    onBackgroundError(error) {
      throw error;
    },
  });
  const { handle } = made(await sessions.create(loginOf()));
  const services: VerifyServices = { ...base, sessions };
  const reader = createContextReader({ trusted: services.trusted, clock, csrfHeader: 'x-csrf', targetMaxBytes: 8_192 });
  await sessions.find(handle, false);
  calls.lookUp.length = 0;
  return { services, reader, handle, calls };
}

type Native = ReturnType<typeof nativeOf>;

function decide(native: Native, reader: ContextReader, services: VerifyServices): ReturnType<typeof verify> {
  return verify(reader.read(native.response, native.request, 'GET'), ENTRY, services);
}

function headersWith(cookie: string | undefined, authorization?: string): readonly Header[] {
  const headers = realisticHeaders({
    ...(cookie === undefined ? {} : { cookie }),
    ...(authorization === undefined ? {} : { authorization }),
  });
  return headers.map(([name, value]) => [name, value === SITE_HOST ? 'app.example.test' : value]);
}

/** Promises made while `run` runs, and until what it decides is there. */
function countPromises(run: () => ReturnType<typeof verify>): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    const stop = promiseHooks.onInit(() => {
      count += 1;
    });
    const end = (): void => {
      stop();
      resolve(count);
    };
    const endLate = (): void => {
      // Whoever waits for the result makes one of them.
      count -= 1;
      end();
    };
    const deciding = run();
    if (deciding instanceof LateDecision) deciding.wait({ done: endLate, failed: reject });
    else if (deciding instanceof Promise) deciding.then(end, reject);
    else end();
  });
}

/** What every request may ask of the native objects: the same, whoever asks. */
const NATIVE = { getUrl: 1, getQuery: 1, forEach: 1, getRemoteAddress: 1 };

describe('a verify request', () => {
  test('with a kept session reads no store, makes no promise, and allocates little', async () => {
    const scene = await openScene(true);
    const calls: NativeCalls = {};
    const native = nativeOf(headersWith(`bff_session=${scene.handle}`), calls);
    const run = () => decide(native, scene.reader, scene.services);
    const decision = run();
    assert.equal((decision as Decision).kind, 'allow');
    assert.deepEqual(calls, NATIVE);
    assert.deepEqual(scene.calls, { lookUp: [], touch: [] });
    assert.equal(await countPromises(run), 0);
    const bytes = bytesPerCall(run) - bytesPerCall(() => scene.reader.read(native.response, native.request, 'GET'));
    assert.ok(bytes <= 400, `${bytes} bytes beyond the copy of the request`);
  });

  test('from peers that are all trusted asks none for its address, until somebody wants to know it', () => {
    const calls: NativeCalls = {};
    const native = nativeOf(headersWith(undefined), calls);
    const reader = createContextReader({
      trusted: 'all',
      clock: systemClock,
      csrfHeader: 'x-csrf',
      targetMaxBytes: 8_192,
    });
    const context = reader.read(native.response, native.request);
    assert.equal(context.trusted, true);
    assert.equal(calls['getRemoteAddress'], undefined);
    assert.deepEqual([...context.peer], [...(parseAddress('10.0.0.5') ?? [])]);
    assert.equal(calls['getRemoteAddress'], 1);
  });

  test('without kept sessions reads the store once, and makes no promise', async () => {
    const scene = await openScene(false);
    const calls: NativeCalls = {};
    const native = nativeOf(headersWith(`bff_session=${scene.handle}`), calls);
    const run = () => decide(native, scene.reader, scene.services);
    assert.equal((await decisionOf(run())).kind, 'allow');
    assert.deepEqual(calls, NATIVE);
    assert.equal(scene.calls.lookUp.length, 1);
    assert.deepEqual(scene.calls.touch, []);
    assert.equal(await countPromises(run), 0);
  });

  test('gives its context back after it waited, and nobody gets it before', async () => {
    const scene = await openScene(false);
    const { request, response } = nativeOf(headersWith(undefined), {});
    const first = scene.reader.read(response, request, 'GET');
    scene.reader.keep();
    const second = scene.reader.read(response, request, 'GET');
    assert.notEqual(second, first);
    assert.equal(scene.reader.read(response, request, 'GET'), second, 'nobody kept it');
    scene.reader.keep();
    scene.reader.release(first);
    const third = scene.reader.read(response, request, 'GET');
    assert.ok(third !== first && third !== second, 'it was taken before');
    scene.reader.keep();
    assert.equal(scene.reader.read(response, request, 'GET'), first);
  });

  for (const [name, cookie] of [
    ['without a cookie', undefined],
    ['with a malformed cookie', 'bff_session=not-a-handle'],
  ] as const) {
    test(`${name} reads no store and makes no promise`, async () => {
      const scene = await openScene(true);
      const calls: NativeCalls = {};
      const native = nativeOf(headersWith(cookie), calls);
      const run = () => decide(native, scene.reader, scene.services);
      assert.equal((run() as Decision).kind, 'login');
      assert.deepEqual(calls, NATIVE);
      assert.deepEqual(scene.calls, { lookUp: [], touch: [] });
      assert.equal(await countPromises(run), 0);
    });
  }

  test('with a remembered bearer token reads no store, makes no promise and looks for no key', async () => {
    const scene = await openScene(true);
    const world = await createBearerWorld();
    const token = await world.sign();
    await world.check(token);
    const lookUps = world.lookUps.length;
    const services = { ...scene.services, bearer: world.tokens };
    const native = nativeOf(headersWith(undefined, `Bearer ${token}`), {});
    const run = () => decide(native, scene.reader, services);
    assert.equal((run() as Decision).kind, 'allow');
    assert.deepEqual(scene.calls, { lookUp: [], touch: [] });
    assert.equal(await countPromises(run), 0);
    assert.equal(world.lookUps.length, lookUps);
  });

  test('with a forged bearer token above the ration makes no promise and looks for no key', async () => {
    const scene = await openScene(true);
    const world = await createBearerWorld();
    const token = await world.sign();
    await world.check(token);
    const signed = token.slice(0, token.lastIndexOf('.') + 1);
    const forge = (at: number): string => signed + Buffer.alloc(64, String(at).padStart(8, '0')).toString('base64url');
    await Promise.all(
      Array.from({ length: LIMITS.bearerRefusalsBurst }, (_, at) => world.check(forge(at), '10.0.0.9')),
    );
    const lookUps = world.lookUps.length;
    const services = { ...scene.services, bearer: world.tokens };
    const native = nativeOf(headersWith(undefined, `Bearer ${forge(-1)}`), {});
    const run = () => decide(native, scene.reader, services) as Denial;
    assert.deepEqual([run().kind, run().code, run().retryAfterS], ['deny', 'overloaded', 1]);
    assert.deepEqual(scene.calls, { lookUp: [], touch: [] });
    assert.equal(await countPromises(run), 0);
    assert.equal(world.lookUps.length, lookUps);
  });

  test('that is refused is answered by two native calls, out of what is ready', () => {
    const { config, sites } = servicesOf({});
    const replies = compileReplies(config, compileOriginRules(config));
    const check = createHeaderCheck();
    const calls: NativeCalls = {};
    const count = (name: string) => (): void => {
      calls[name] = (calls[name] ?? 0) + 1;
    };
    const response = { writeStatus: count('writeStatus'), end: count('end') } as unknown as HttpResponse;
    const context = contextOf({ requestId: 'kq3Z1v0m-7' });
    const [site] = sites.all;
    const run = (): void => {
      const loginUrl = site?.loginUrl;
      const reply = replies.problem(context, { code: 'authentication_required', loginUrl, navigation: false, site });
      check(reply);
      writeReply(response, reply, false, false);
    };
    run();
    assert.deepEqual(calls, { writeStatus: 1, end: 1 });
    const bytes = bytesPerCall(run);
    assert.ok(bytes <= 600, `${bytes} bytes`);
  });

  test('is one look-up for all who ask for the same session at once', async () => {
    const scene = await openScene(true);
    const native = nativeOf(headersWith('bff_session=kq3Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiVtXM'), {});
    const trusted = compileAddressMatcher(scene.services.config.trustedProxies);
    const ask = () => {
      const reader = createContextReader({ trusted, clock: systemClock, csrfHeader: 'x-csrf', targetMaxBytes: 8_192 });
      return decide(native, reader, scene.services);
    };
    await Promise.all(Array.from({ length: 50 }, () => decisionOf(ask())));
    assert.equal(scene.calls.lookUp.length, 1);
  });
});

describe('a turn of store reads', { skip: skipWithout('redis-server') }, () => {
  test('makes no promise, and no copy of what is read', async () => {
    const redis = await startRedis();
    const store = createValkeyStore({ redis: redis.settings() });
    try {
      await whenReachable(store);
      const creations = Array.from({ length: 20 }, () => creationAt(Date.now()));
      for (const creation of creations) await store.create(creation);
      const { promises, memories } = await new Promise<{ promises: number; memories: Set<unknown> }>(
        (resolve, reject) => {
          let promises = 0;
          let left = creations.length;
          const memories = new Set<unknown>();
          const stop = promiseHooks.onInit(() => {
            promises += 1;
          });
          const done = (view: HotView | undefined): void => {
            memories.add(view?.bytes.buffer);
            left -= 1;
            if (left > 0) return;
            stop();
            resolve({ promises, memories });
          };
          for (const { locator } of creations) store.lookUp(locator, Date.now(), { done, failed: reject });
        },
      );
      assert.equal(promises, 1, 'that of the test itself, which waits');
      assert.equal(memories.size, 1);
      assert.deepEqual(store.reads, { lookups: 20, writes: 1, refused: 0 });
    } finally {
      await store.close();
      await redis.remove();
    }
  });
});
