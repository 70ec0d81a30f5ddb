import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { skipWithout } from '../support/parts.ts';
import { until } from '../support/until.ts';
import { type CoherenceWorld, openCoherence, reportDelays, type Server, type Subject } from './coherence-world.ts';

const HEARTBEAT_MS = 300;
/** How long a session that ended may be honoured while the channel is broken. */
const BOUND_MS = 2 * HEARTBEAT_MS;
const OPTIONS = { timeout: 150_000, skip: skipWithout('redis-server') };
/** Long after anything that is right. */
const DEADLINE_MS = 10_000;

describe('a session that ends, on two processes', OPTIONS, () => {
  let world: CoherenceWorld;

  before(async () => {
    const l1 = { heartbeat: `${HEARTBEAT_MS}ms` };
    world = await openCoherence({ processes: 2, l1, commandTimeout: '5s' });
  });
  after(() => world.close());

  test('one by one: every process refuses it within milliseconds, and never allows it again', async (t) => {
    const subjects = await world.create(200);
    await warm(subjects);
    const delays = await endOneByOne(subjects, ({ session }) => world.sessions.end(session));
    reportDelays(t, 'logout', delays);
  });

  test('by DEL of an operator', async (t) => {
    const subjects = await world.create(200);
    const admin = world.redis.connect();
    await warm(subjects);
    const delays = await endOneByOne(subjects, ({ session }) => admin.del(`sp:s:{${session.locator}}`));
    reportDelays(t, 'DEL', delays);
    admin.disconnect();
  });

  test('with all others of its user', async (t) => {
    const delays: number[] = [];
    for (let round = 0; round < 20; round += 1) {
      const subjects = await world.create(10, { user: `everywhere-${round}` });
      await warm(subjects);
      const { issuer, subject } = subjects[0]!.session.hot.principal;
      assert.equal(await world.sessions.endAllOfUser(issuer, subject), 10);
      delays.push(...(await refusalsOf(subjects, Date.now())));
    }
    reportDelays(t, 'logout everywhere', delays);
  });

  test('with everything else, by FLUSHALL', async (t) => {
    const subjects = await world.create(200);
    const admin = world.redis.connect();
    await warm(subjects);
    await admin.flushall();
    // All at once would measure how long the requests wait for each other.
    reportDelays(t, 'FLUSHALL', await refusalsOf(subjects.slice(0, 5), Date.now()));
    await refusalsOf(subjects, Date.now());
    admin.disconnect();
  });

  test('by itself, at its absolute limit: no request that begins later is allowed', async () => {
    const subjects = await world.create(100, { absoluteMs: 3_000 });
    await warm(subjects);
    await Promise.all(
      subjects.flatMap(({ handle, session }) =>
        world.servers.map(async (server) => {
          let askedAt = Date.now();
          while ((await server.verify(handle)) === 200) {
            assert.ok(askedAt < session.hot.absoluteAt, `allowed ${askedAt - session.hot.absoluteAt} ms late`);
            await sleep(50);
            askedAt = Date.now();
          }
          assert.ok(Date.now() >= session.hot.absoluteAt, 'it did not end early');
        }),
      ),
    );
  });

  test('while invalidation connections are cut, silenced and restored: none is allowed beyond the bound', async (t) => {
    const ended: Subject[] = [];
    const subjects = await world.create(400);
    const admin = world.redis.connect();
    await warm(subjects);
    const control = new AbortController();
    const { signal } = control;
    const asking = world.servers.map((server) => askOn(server, subjects, signal));
    const breaking = world.servers.map((server) => breakChannel(server, signal));
    for (const subject of subjects) {
      await sleep(Math.random() * 50);
      await admin.del(`sp:s:{${subject.session.locator}}`);
      subject.endedAt = Date.now();
      ended.push(subject);
    }
    await sleep(3 * BOUND_MS);
    control.abort();
    await Promise.all(breaking);
    const seen = await Promise.all(asking);
    for (const { asked, allowedLate, allowedAgain, longestMs } of seen) {
      t.diagnostic(`${asked} requests, longest allow ${longestMs} ms after the end (bound ${BOUND_MS} ms)`);
      assert.deepEqual({ allowedLate, allowedAgain }, { allowedLate: 0, allowedAgain: 0 });
    }
    assert.ok(
      seen.some(({ longestMs }) => longestMs > 20),
      'the faults were felt at all',
    );
    admin.disconnect();
  });

  test('and afterwards the cache is used again', async () => {
    for (const server of world.servers) server.channel.setMode('pass');
    for (const server of world.servers)
      await until(async () => (await server.metric('sallyport_l1_current')) === 1, 'the copies are current');
    const subjects = await world.create(10);
    await warm(subjects);
    for (const server of world.servers) {
      const before = await server.metric('sallyport_store_lookups_total');
      for (const { handle } of subjects) assert.equal(await server.verify(handle), 200);
      assert.equal(await server.metric('sallyport_store_lookups_total'), before);
    }
  });

  /** Every session is in the L1 of every process. */
  async function warm(subjects: readonly Subject[]): Promise<void> {
    for (const server of world.servers) {
      for (let round = 0; round < 2; round += 1) {
        const statuses = await Promise.all(subjects.map(({ handle }) => server.verify(handle)));
        assert.deepEqual(new Set(statuses), new Set([200]));
      }
    }
  }

  async function endOneByOne(subjects: readonly Subject[], end: (subject: Subject) => Promise<unknown>) {
    const delays: number[] = [];
    for (const subject of subjects) {
      await end(subject);
      delays.push(...(await refusalsOf([subject], Date.now())));
    }
    return delays;
  }

  /** For each session, ms from `endedAt` to the end of the first refusal by the last process. */
  function refusalsOf(subjects: readonly Subject[], endedAt: number): Promise<number[]> {
    return Promise.all(
      subjects.map(async ({ handle }) => {
        const each = await Promise.all(world.servers.map((server) => refusalOf(server, handle, endedAt)));
        return Math.max(...each);
      }),
    );
  }
});

async function refusalOf(server: Server, handle: string, endedAt: number): Promise<number> {
  while ((await server.verify(handle)) === 200) {
    assert.ok(Date.now() - endedAt < DEADLINE_MS, 'still allowed');
    await sleep(1);
  }
  const delayMs = Date.now() - endedAt;
  for (let round = 0; round < 3; round += 1) assert.equal(await server.verify(handle), 401, 'allowed again');
  return delayMs;
}

/** Ask for random sessions until told to stop, and judge every allow by when it was asked for. */
async function askOn(server: Server, subjects: readonly Subject[], signal: AbortSignal) {
  const seen = { asked: 0, allowedLate: 0, allowedAgain: 0, longestMs: 0 };
  const refused = new Set<string>();
  const askOne = async (): Promise<void> => {
    while (!signal.aborted) {
      const subject = subjects[Math.floor(Math.random() * subjects.length)]!;
      const wasRefused = refused.has(subject.handle);
      const askedAt = Date.now();
      const endedBefore = subject.endedAt;
      const status = await server.verify(subject.handle);
      seen.asked += 1;
      if (status === 401) refused.add(subject.handle);
      if (status !== 200) continue;
      if (wasRefused) seen.allowedAgain += 1;
      if (endedBefore === undefined) continue;
      seen.longestMs = Math.max(seen.longestMs, askedAt - endedBefore);
      if (askedAt - endedBefore > BOUND_MS) seen.allowedLate += 1;
    }
  };
  await Promise.all(Array.from({ length: 4 }, askOne));
  return seen;
}

/** Cut or silence the invalidation connection at random, and let a new one through. */
async function breakChannel(server: Server, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    server.channel.setMode(Math.random() < 0.3 ? 'cut' : 'drop');
    await sleep(Math.random() * 2 * BOUND_MS);
    server.channel.setMode('pass');
    await sleep(Math.random() * 2 * BOUND_MS);
  }
}
