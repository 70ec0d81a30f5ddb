// The workers of a supervisor when processes fail in ways that real ones cannot be made to.
import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import type { ConfigSnapshot } from '../src/core/config/snapshot.ts';
import { createLog } from '../src/core/log.ts';
import { type Link, type WorkerEnd, WorkerLink } from '../src/worker-link.ts';
import { WorkerPool } from '../src/worker-pool.ts';
import type { WorkerMethod } from '../src/worker-protocol.ts';

type FakeLink = Link & { readonly calls: WorkerMethod[]; end(end?: Partial<WorkerEnd>): void };

/** @param answer what the worker does when it is asked; it answers at once by default. */
function fakeLink(answer: (method: WorkerMethod, link: FakeLink) => unknown = () => null): FakeLink {
  const { promise: ended, resolve } = Promise.withResolvers<WorkerEnd>();
  const link: FakeLink = {
    ended,
    pid: 1,
    calls: [],
    call: (async (method: WorkerMethod) => {
      link.calls.push(method);
      const lost = ended.then(() => Promise.reject(new Error('the worker has ended')));
      lost.catch(() => undefined);
      return Promise.race([answer(method, link), lost]);
    }) as Link['call'],
    kill: () => link.end({ code: null, signal: 'SIGKILL' }),
    end: (end = {}) => resolve({ code: 0, signal: null, ...end }),
  };
  return link;
}

function createPool(links: readonly (FakeLink | Error)[], size = 2) {
  const lines: { msg: string; worker?: number }[] = [];
  const ends: number[] = [];
  let forked = 0;
  const pool = new WorkerPool(
    {
      size,
      ports: { public: 1, verify: undefined, verifyH2: undefined },
      log: createLog({ level: 'info' }, { write: (line) => void lines.push(JSON.parse(line)) }),
      fork() {
        const link = links[forked];
        forked += 1;
        if (link === undefined || link instanceof Error) throw link ?? new Error('no more links');
        return link;
      },
      onEnd: (index) => void ends.push(index),
    },
    {} as ConfigSnapshot,
  );
  return { pool, lines, ends, forked: () => forked };
}

/** A worker that ends as it should. */
const orderly = (method: WorkerMethod, link: FakeLink): null => {
  if (method === 'drain') link.end();
  return null;
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const IN_TIME = { leaveMs: 60_000, deadlineMs: 60_000 };

describe('the end of a pool', () => {
  test('none sends clients away before all have closed their ports', async () => {
    const slow = Promise.withResolvers<null>();
    const [first, second] = [
      fakeLink(orderly),
      fakeLink((method, link) => (method === 'leave' ? slow.promise : orderly(method, link))),
    ];
    const { pool } = createPool([first, second]);
    await pool.start();
    const closed = pool.close(IN_TIME);
    await turn();
    assert.deepEqual(first.calls, ['start', 'leave']);
    slow.resolve(null);
    await closed;
    assert.deepEqual([first.calls.at(-1), second.calls.at(-1)], ['drain', 'drain']);
  });

  test('survives workers that end while they are told, and starts none again', async () => {
    const dying = fakeLink((method, link) => {
      if (method !== 'leave') return null;
      link.end({ code: 1 });
      return new Promise(() => undefined);
    });
    const late = fakeLink((method, link) => {
      if (method !== 'drain') return null;
      link.end({ code: null, signal: 'SIGSEGV' });
      return new Promise(() => undefined);
    });
    const { pool, ends, forked, lines } = createPool([dying, late]);
    await pool.start();
    await pool.close(IN_TIME);
    await turn();
    assert.deepEqual([ends.toSorted(), forked(), lines], [[1, 2], 2, []]);
  });

  test('does not wait for one that would have been started again later, nor start it', async (t) => {
    t.after(() => mock.timers.reset());
    mock.timers.enable({ apis: ['setTimeout'] });
    const [first, second] = [fakeLink(orderly), fakeLink(orderly)];
    const { pool, forked } = createPool([first, second, fakeLink(orderly)]);
    await pool.start();
    first.end({ code: 1 });
    await turn();
    await pool.close(IN_TIME);
    mock.timers.tick(60_000);
    await turn();
    assert.equal(forked(), 2);
  });

  test('kills one that is being started again', async (t) => {
    t.after(() => mock.timers.reset());
    mock.timers.enable({ apis: ['setTimeout'] });
    const starting = fakeLink(() => new Promise(() => undefined));
    const first = fakeLink(orderly);
    const { pool } = createPool([first, fakeLink(orderly), starting]);
    await pool.start();
    first.end({ code: 1 });
    await turn();
    mock.timers.tick(100);
    await turn();
    await pool.close(IN_TIME);
    assert.deepEqual(await starting.ended, { code: null, signal: 'SIGKILL' });
  });

  test('kills at the deadline, with a line, those that neither answer nor end', async (t) => {
    t.after(() => mock.timers.reset());
    mock.timers.enable({ apis: ['setTimeout'] });
    const hung = fakeLink((method) => (method === 'start' ? null : new Promise(() => undefined)));
    const { pool, lines } = createPool([fakeLink(orderly), hung]);
    await pool.start();
    const closed = pool.close({ leaveMs: 10, deadlineMs: 1000 });
    mock.timers.tick(1000);
    await closed;
    assert.deepEqual(await hung.ended, { code: null, signal: 'SIGKILL' });
    assert.match(lines[0]?.msg ?? '', /not ended in time/);
  });
});

describe('a pool whose system is short of processes', () => {
  test('leaves none behind when it cannot start all', async () => {
    const first = fakeLink();
    const { pool } = createPool([first, new Error('spawn ENOMEM')]);
    await assert.rejects(pool.start(), /ENOMEM/);
    assert.deepEqual(await first.ended, { code: null, signal: 'SIGKILL' });
  });

  test('says so, and tries again later', async (t) => {
    t.after(() => mock.timers.reset());
    mock.timers.enable({ apis: ['setTimeout'] });
    const first = fakeLink(orderly);
    const { pool, lines, forked } = createPool([
      first,
      fakeLink(orderly),
      new Error('spawn ENOMEM'),
      fakeLink(orderly),
    ]);
    await pool.start();
    first.end({ code: 1 });
    await turn();
    mock.timers.tick(100);
    await turn();
    assert.deepEqual([forked(), pool.up], [3, 1]);
    mock.timers.tick(10_000);
    await turn();
    assert.deepEqual([forked(), pool.up], [4, 2]);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['worker ended', 'worker could not start', 'worker is back'],
    );
    await pool.close(IN_TIME);
  });
});

describe('the link to a worker', () => {
  test('that was killed rejects what is asked and waited for, again and again, and nothing else happens', async () => {
    const link = new WorkerLink();
    const pending = link.call('readiness', null, 60_000);
    const rejected = assert.rejects(pending, /the worker has ended/);
    process.kill(link.pid ?? 0, 'SIGKILL');
    const calls = Array.from({ length: 20 }, () => assert.rejects(link.call('drain', null, 60_000), /has ended/));
    assert.deepEqual(await link.ended, { code: null, signal: 'SIGKILL' });
    await Promise.all([rejected, ...calls]);
    await assert.rejects(link.call('drain', null, 60_000), /has ended/);
    link.kill();
  });
});
