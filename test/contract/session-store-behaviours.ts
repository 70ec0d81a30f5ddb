import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { isSallyportError } from '../../src/core/errors.ts';
import { LIMITS } from '../../src/core/limits.ts';
import type { SessionCreation, SessionStore } from '../../src/core/store.ts';

/** What one behaviour is given: two views of one store (two processes, where it can have them) and a clock's time. */
export type StoreSubject = { readonly store: SessionStore; readonly other: SessionStore; readonly now: number };

/** One thing that every session store does. */
export type StoreBehaviour = { readonly name: string; readonly run: (subject: StoreSubject) => Promise<void> };

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

/** A new key of the form that locators and hashes have. */
export function newKey(): string {
  return createHash('sha256').update(randomUUID()).digest('base64url');
}

/** A creation at `now` with an idle limit of half an hour and an absolute one of eight hours. */
export function creationAt(now: number, different: Partial<SessionCreation> = {}): SessionCreation {
  return {
    locator: newKey(),
    hot: Buffer.from('hot'),
    cold: Buffer.from('cold'),
    now,
    expiresAt: now + 30 * MINUTE_MS,
    absoluteAt: now + 8 * HOUR_MS,
    subjectKey: newKey(),
    providerSessionKey: newKey(),
    startedAt: now - MINUTE_MS,
    maxPerSubject: 0,
    ...different,
  };
}

/** An assertion on SallyportError codes, for assert.rejects. */
export function hasCode(code: string): (error: unknown) => boolean {
  return (error) => isSallyportError(error) && error.code === code;
}

const everyByte = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256));

export const RECORD_BEHAVIOURS: readonly StoreBehaviour[] = [
  {
    name: 'a created session reads back whole, from another process too',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      assert.equal(await store.create(creation), 'created');
      const hot = { revision: 1, lastSeenAt: now, hot: Buffer.from('hot') };
      assert.deepEqual(await other.readHot(creation.locator, now), hot);
      assert.deepEqual(await other.readAll(creation.locator, now), {
        ...hot,
        cold: Buffer.from('cold'),
        tokens: new Map(),
      });
    },
  },
  {
    name: 'an unknown locator is an answer, not an error',
    run: async ({ store, now }) => {
      const locator = newKey();
      assert.equal(await store.readHot(locator, now), undefined);
      assert.equal(await store.readAll(locator, now), undefined);
      assert.equal(await store.touch(locator, now, now + 1_000), false);
      assert.equal(await store.update(locator, 1, { hot: Buffer.from('x') }, now), 'gone');
      assert.equal(await store.destroy({ locator, subjectKey: undefined, providerSessionKey: undefined }), false);
      assert.equal(await store.readHot(locator, now), undefined);
    },
  },
  {
    name: 'a session without cold part and provider session has neither',
    run: async ({ store, now }) => {
      const creation = creationAt(now, { cold: undefined, providerSessionKey: undefined });
      assert.equal(await store.create(creation), 'created');
      assert.equal((await store.readAll(creation.locator, now))?.cold, undefined);
      assert.equal(await store.destroy(creation), true);
    },
  },
  {
    name: 'every byte value survives in hot, cold and token parts, and so does an empty part',
    run: async ({ store, now }) => {
      const creation = creationAt(now, { hot: everyByte, cold: everyByte });
      await store.create(creation);
      const tokens = new Map([
        ['full', everyByte],
        ['empty', Buffer.alloc(0)],
      ]);
      assert.equal(await store.update(creation.locator, 1, { tokens }, now), 'written');
      const stored = await store.readAll(creation.locator, now);
      assert.deepEqual(stored, { revision: 2, lastSeenAt: now, hot: everyByte, cold: everyByte, tokens });
    },
  },
  {
    name: 'what the caller does to its buffer after a write does not reach the store',
    run: async ({ store, now }) => {
      const hot = Buffer.from('before');
      const creation = creationAt(now, { hot });
      await store.create(creation);
      hot.write('after!');
      assert.deepEqual((await store.readHot(creation.locator, now))?.hot, Buffer.from('before'));
    },
  },
  {
    name: 'an existing locator is never overwritten, and the attempt leaves no index entry',
    run: async ({ store, now }) => {
      const first = creationAt(now);
      await store.create(first);
      const second = creationAt(now, { locator: first.locator, hot: Buffer.from('thief') });
      await assert.rejects(store.create(second), hasCode('internal_error'));
      assert.deepEqual((await store.readHot(first.locator, now))?.hot, Buffer.from('hot'));
      assert.deepEqual(await store.destroyBySubject(second.subjectKey, now, MINUTE_MS), []);
      assert.notEqual(await store.readHot(first.locator, now), undefined);
      assert.deepEqual(await store.listBySubject(first.subjectKey, now), [first.locator]);
    },
  },
  {
    name: 'keys that are not base64url, and limits that are over, are refused before anything is written',
    run: async ({ store, now }) => {
      const bad: Partial<SessionCreation>[] = [
        { locator: 'a}b{c' },
        { locator: '' },
        { subjectKey: 'a b' },
        { providerSessionKey: 'a\r\nb' },
        { expiresAt: now },
        { absoluteAt: now + 1, expiresAt: now + 2 },
      ];
      for (const different of bad) {
        const creation = creationAt(now, different);
        await assert.rejects(store.create(creation), hasCode('internal_error'));
        assert.equal(await store.readHot(creation.locator, now), undefined);
      }
      await assert.rejects(store.consumeOnce('state', 'a b', now, 1_000), hasCode('internal_error'));
      await assert.rejects(store.destroyBySubject('{}', now, 1_000), hasCode('internal_error'));
    },
  },
  {
    name: 'a record above its bound is refused whole, at creation, in one change and as a sum of changes',
    run: async ({ store, now }) => {
      const tooMuch = Buffer.alloc(LIMITS.sessionRecordMaxBytes);
      const oversized = creationAt(now, { hot: tooMuch });
      await assert.rejects(store.create(oversized), hasCode('idp_bad_response'));
      assert.equal(await store.readHot(oversized.locator, now), undefined);
      const creation = creationAt(now);
      await store.create(creation);
      await assert.rejects(store.update(creation.locator, 1, { hot: tooMuch }, now), hasCode('idp_bad_response'));
      const half = Buffer.alloc(LIMITS.sessionRecordMaxBytes / 2);
      assert.equal(await store.update(creation.locator, 1, { tokens: new Map([['a', half]]) }, now), 'written');
      const second = store.update(creation.locator, 2, { tokens: new Map([['b', half]]) }, now);
      await assert.rejects(second, hasCode('idp_bad_response'));
      const stored = await store.readAll(creation.locator, now);
      assert.deepEqual([stored?.revision, [...(stored?.tokens.keys() ?? [])]], [2, ['a']]);
      assert.equal(await store.update(creation.locator, 2, { tokens: new Map([['a', half]]) }, now), 'written');
    },
  },
  {
    name: 'a guarded write needs the revision it read, changes what it names, and raises the revision by one',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      assert.equal(await store.update(creation.locator, 1, { hot: Buffer.from('hot 2') }, now), 'written');
      assert.equal(await other.update(creation.locator, 1, { hot: Buffer.from('late') }, now), 'conflict');
      assert.equal(await other.update(creation.locator, 3, { hot: Buffer.from('early') }, now), 'conflict');
      assert.equal(await other.update(creation.locator, 2, { cold: Buffer.from('cold 2') }, now), 'written');
      assert.deepEqual(await store.readAll(creation.locator, now), {
        revision: 3,
        lastSeenAt: now,
        hot: Buffer.from('hot 2'),
        cold: Buffer.from('cold 2'),
        tokens: new Map(),
      });
    },
  },
  {
    name: 'of 50 guarded writes of one revision exactly one is written',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      const writes = Array.from({ length: 50 }, (_, index) =>
        (index % 2 === 0 ? store : other).update(creation.locator, 1, { hot: Buffer.from(`${index}`) }, now),
      );
      const outcomes = await Promise.all(writes);
      assert.equal(outcomes.filter((outcome) => outcome === 'written').length, 1);
      assert.equal(outcomes.filter((outcome) => outcome === 'conflict').length, 49);
      const stored = await store.readHot(creation.locator, now);
      assert.deepEqual([stored?.revision, `${stored?.hot}`], [2, `${outcomes.indexOf('written')}`]);
    },
  },
  {
    name: 'a touch moves last seen and the end forwards and never backwards',
    run: async ({ store, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      const { locator, expiresAt } = creation;
      assert.equal(await store.touch(locator, now + 10_000, expiresAt + 10_000), true);
      assert.equal(await store.touch(locator, now + 5_000, expiresAt - 10_000), true);
      assert.equal((await store.readHot(locator, now))?.lastSeenAt, now + 10_000);
      assert.notEqual(await store.readHot(locator, expiresAt + 9_999), undefined);
      assert.equal(await store.readHot(locator, expiresAt + 10_000), undefined);
    },
  },
  {
    name: 'a session is over at its end, for every method',
    run: async ({ store, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      const { locator, expiresAt, subjectKey } = creation;
      assert.notEqual(await store.readHot(locator, expiresAt - 1), undefined);
      assert.equal(await store.readHot(locator, expiresAt), undefined);
      assert.equal(await store.readAll(locator, expiresAt), undefined);
      assert.equal(await store.touch(locator, expiresAt, expiresAt + MINUTE_MS), false);
      assert.equal(await store.update(locator, 1, { hot: Buffer.from('x') }, expiresAt), 'gone');
      assert.deepEqual(await store.listBySubject(subjectKey, expiresAt), []);
      assert.deepEqual(await store.destroyBySubject(subjectKey, expiresAt, MINUTE_MS), []);
    },
  },
  {
    name: 'nothing brings a destroyed session back',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      assert.equal(await store.destroy(creation), true);
      assert.equal(await other.destroy(creation), false);
      assert.equal(await other.touch(creation.locator, now + 1, now + HOUR_MS), false);
      assert.equal(await other.update(creation.locator, 1, { hot: Buffer.from('x') }, now), 'gone');
      assert.equal(await store.readAll(creation.locator, now), undefined);
      assert.deepEqual(await store.listBySubject(creation.subjectKey, now), []);
    },
  },
  {
    name: 'a session destroyed among touches and writes in flight stays destroyed',
    run: async ({ store, other, now }) => {
      const creation = creationAt(now);
      await store.create(creation);
      const { locator } = creation;
      const busy = Array.from({ length: 60 }, (_, index) => {
        if (index === 30) return store.destroy(creation);
        const by = index % 2 === 0 ? store : other;
        return index % 3 === 0
          ? by.update(locator, 1, { hot: Buffer.from('x') }, now)
          : by.touch(locator, now + index, creation.expiresAt + index);
      });
      await Promise.all(busy);
      assert.equal(await store.readAll(locator, now), undefined);
      assert.deepEqual(await store.listBySubject(creation.subjectKey, now), []);
    },
  },
];
