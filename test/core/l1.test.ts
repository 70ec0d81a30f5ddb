import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { L1 } from '../../src/core/l1.ts';
import type { Session } from '../../src/core/services.ts';
import { ChangeHub } from '../../src/core/store-changes.ts';
import { NOW, sessionOf } from './world.ts';

/** A cache over a store that vouches for it until `currentUntil`. */
function openL1(bounds: { maxEntries?: number; maxBytes?: number } = {}) {
  const world = { currentUntil: Number.POSITIVE_INFINITY };
  const changes = new ChangeHub(() => world.currentUntil);
  const l1 = new L1<object>({ changes, maxEntries: bounds.maxEntries ?? 100, maxBytes: bounds.maxBytes ?? 1e9 });
  const keep = (name: string, bytes = 1): Session => {
    const session = { ...sessionOf(), locator: `L-${name}` };
    const load = Promise.resolve(session);
    l1.begin(session.locator, load);
    l1.fill(load, name, session, bytes);
    return session;
  };
  const kept = (...names: string[]): string[] => names.filter((name) => l1.find(name, NOW) !== undefined);
  return { l1, changes, world, keep, kept };
}

describe('what the L1 keeps', () => {
  test('is found by its handle, the same object each time', () => {
    const { l1, keep } = openL1();
    const session = keep('a');
    assert.equal(l1.find('a', NOW), session);
    assert.equal(l1.find('b', NOW), undefined);
    assert.deepEqual([l1.counts.hits, l1.counts.misses], [1, 1]);
  });

  test('is served only while the store vouches for it', () => {
    const { l1, keep, world } = openL1();
    const session = keep('a');
    world.currentUntil = NOW;
    assert.equal(l1.find('a', NOW), undefined);
    assert.equal(l1.find('a', NOW - 1), session);
    assert.equal(l1.isCurrent(NOW), false);
  });

  test('goes with a change of its record, and with nothing else', () => {
    const { changes, keep, kept } = openL1();
    for (const name of ['a', 'b', 'c']) keep(name);
    changes.lease('L-a');
    changes.session('L-b');
    changes.session('L-unknown');
    assert.deepEqual(kept('a', 'b', 'c'), ['a', 'c']);
  });

  test('goes altogether when anything may have changed', () => {
    const { l1, changes, keep, kept } = openL1();
    for (const name of ['a', 'b']) keep(name);
    changes.all();
    assert.deepEqual(kept('a', 'b'), []);
    assert.deepEqual([l1.size, l1.bytes, l1.counts.flushes], [0, 0, 1]);
    keep('a');
    assert.deepEqual(kept('a'), ['a']);
  });

  test('can be replaced by another view of the same record, unless it changed meanwhile', () => {
    const { l1, changes, keep } = openL1();
    const session = keep('a');
    const seen = { ...session, lastSeenAt: NOW + 1 };
    l1.replace(session, seen);
    assert.equal(l1.find('a', NOW), seen);
    l1.replace(session, { ...session, lastSeenAt: NOW + 2 });
    assert.equal(l1.find('a', NOW), seen);
    changes.session('L-a');
    l1.replace(seen, session);
    assert.equal(l1.find('a', NOW), undefined);
  });
});

describe('a load', () => {
  const session = { ...sessionOf(), locator: 'L-a' };

  test('that is overtaken by an invalidation is not kept', () => {
    const { l1, changes, kept } = openL1();
    const load = Promise.resolve(session);
    l1.begin('L-a', load);
    changes.session('L-a');
    l1.fill(load, 'a', session, 1);
    assert.deepEqual(kept('a'), []);
  });

  test('that is overtaken by a change of the channel is not kept', () => {
    const { l1, changes, kept } = openL1();
    const load = Promise.resolve(session);
    l1.begin('L-a', load);
    changes.all();
    l1.fill(load, 'a', session, 1);
    assert.deepEqual(kept('a'), []);
  });

  test('that began after the invalidation is kept, whatever becomes of the older one', () => {
    const { l1, changes } = openL1();
    const [older, newer] = [Promise.resolve(session), Promise.resolve(session)];
    const fresh = { ...session, revision: 2 };
    l1.begin('L-a', older);
    changes.session('L-a');
    l1.begin('L-a', newer);
    l1.fill(older, 'a', session, 1);
    l1.abandon('L-a', older);
    l1.fill(newer, 'a', fresh, 1);
    assert.equal(l1.find('a', NOW), fresh);
  });

  test('is shared while it has its mark and the store vouches', () => {
    const { l1, changes, world } = openL1();
    const load = Promise.resolve(session);
    l1.begin('L-a', load);
    assert.equal(l1.findLoad('L-a', NOW), load);
    world.currentUntil = NOW;
    assert.equal(l1.findLoad('L-a', NOW), undefined);
    world.currentUntil = NOW + 1;
    changes.session('L-a');
    assert.equal(l1.findLoad('L-a', NOW), undefined);
  });

  test('leaves no mark behind', () => {
    const { l1 } = openL1();
    const [failed, found] = [Promise.resolve(undefined), Promise.resolve(session)];
    l1.begin('L-a', failed);
    l1.abandon('L-a', failed);
    assert.equal(l1.findLoad('L-a', NOW), undefined);
    l1.begin('L-a', found);
    l1.fill(found, 'a', session, 1);
    assert.equal(l1.findLoad('L-a', NOW), undefined);
  });
});

describe('the bounds of the L1', () => {
  test('hold in entries, and those asked for lately stay', () => {
    const { l1, keep, kept } = openL1({ maxEntries: 3 });
    for (const name of ['a', 'b', 'c']) keep(name);
    l1.find('a', NOW);
    keep('d');
    assert.equal(l1.size, 3);
    assert.equal(l1.counts.evictions, 1);
    assert.deepEqual(kept('a', 'b', 'c', 'd'), ['a', 'c', 'd']);
  });

  test('hold in bytes, and a session above them all is not kept', () => {
    const { l1, keep, kept } = openL1({ maxBytes: 10 });
    keep('a', 4);
    keep('b', 4);
    keep('c', 9);
    assert.deepEqual(kept('a', 'b', 'c'), ['c']);
    assert.equal(l1.bytes, 9);
    keep('d', 11);
    assert.deepEqual(kept('c', 'd'), ['c']);
  });

  test('hold through any number of sessions, all of them in use', () => {
    const { l1, keep, kept } = openL1({ maxEntries: 100, maxBytes: 1_000 });
    for (let index = 0; index < 10_000; index += 1) {
      keep(`s${index}`, 1 + (index % 20));
      l1.find(`s${index}`, NOW);
      l1.find(`s${index - 50}`, NOW);
      assert.ok(l1.size <= 100 && l1.bytes <= 1_000, `${l1.size} entries, ${l1.bytes} bytes`);
    }
    assert.deepEqual(kept('s9999'), ['s9999']);
  });

  test('count again what is loaded again', () => {
    const { l1, keep } = openL1();
    keep('a', 5);
    keep('a', 7);
    assert.deepEqual([l1.size, l1.bytes], [1, 7]);
  });
});
