// Several worker processes on one port: who answers, who survives, what adds up (D-22).
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { askH2, connectH2, LISTEN_H2, verifyHeaders } from '../support/h2.ts';
import { answered, startLoad } from '../support/keep-alive-load.ts';
import { readMetric } from '../support/metrics.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { findChildren, type ServeProcess, spawnServe } from '../support/serve-process.ts';
import { until } from '../support/until.ts';

const ANYWHERE = { address: '127.0.0.1', port: 0 };
const LISTEN = { public: ANYWHERE, verify: ANYWHERE, verify_h2: LISTEN_H2, admin: ANYWHERE };
const OPEN = { path: '/auth/verify', headers: verifyHeaders('/open/x') as Record<string, string> };
delete OPEN.headers[':path'];

describe('two workers', { skip: skipWithout('redis-server') }, () => {
  let redis: TestRedis;
  let serve: ServeProcess;
  const settings = (more: object = {}) => ({
    listen: LISTEN,
    workers: 2,
    store: { kind: 'redis', redis: { url: redis.url } },
    shutdown: { unready: '0s', drain: '5s' },
    log: { level: 'info' },
    ...more,
  });
  const metric = (name: string): Promise<number> => readMetric(serve.ports().admin, name);
  const readyz = async (): Promise<{ status: number; body: { status: string; workers: { ready: number } } }> => {
    const answer = await fetch(`http://127.0.0.1:${serve.ports().admin}/readyz`);
    return { status: answer.status, body: (await answer.json()) as Awaited<ReturnType<typeof readyz>>['body'] };
  };

  before(async () => {
    redis = await startRedis();
    serve = spawnServe({ settings: settings() });
    await until(() => serve.ports().admin !== 0, 'the supervisor listens', 30_000);
    await until(async () => (await readyz()).status === 200, 'ready', 10_000);
  });
  after(async () => {
    await serve?.remove();
    await redis?.remove();
  });

  test('are ready when both are', async () => {
    const { body } = await readyz();
    assert.deepEqual([body.status, body.workers.ready], ['ready', 2]);
    assert.equal((await findChildren(serve.pid)).length, 2);
  });

  test('share every port, and their counters add up', async () => {
    const load = startLoad({ port: serve.ports().verify, clients: 16, perConnection: 20, ...OPEN });
    await until(() => answered(load.counts, 200) > 2_000, 'load', 20_000);
    await load.stop();
    assert.equal(load.counts.cut + load.counts.refused, 0);
    const over = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const session = connectH2(serve.ports().verifyH2);
        const { status } = await askH2(session, verifyHeaders('/open/x'));
        session.close();
        return status;
      }),
    );
    assert.deepEqual(new Set(over), new Set([200]));
    const asked = answered(load.counts, 200) + 8;
    assert.equal(await metric('sallyport_verify_allowed_total'), asked);
    assert.equal(await metric('sallyport_requests_total'), asked);
    assert.equal(await metric('sallyport_workers{state="up"}'), 2);
    assert.equal(await metric('sallyport_store_reachable'), 1, 'not the sum');
  });

  test('one of them killed under load: only its own connections fail, another takes its place, no counter shrinks', async () => {
    const load = startLoad({ port: serve.ports().verify, clients: 32, ...OPEN });
    await until(() => answered(load.counts, 200) > 500, 'load', 20_000);
    const before = await metric('sallyport_verify_allowed_total');
    const [victim = 0] = await findChildren(serve.pid);
    process.kill(victim, 'SIGKILL');
    const ended = await serve.logged('worker ended');
    assert.equal(ended['signal'], 'SIGKILL');
    await serve.logged('worker is back');
    const mark = answered(load.counts, 200);
    await until(() => answered(load.counts, 200) > mark + 500, 'load goes on', 20_000);
    await load.stop();
    assert.ok(load.counts.cut > 0, 'the victim had connections');
    assert.ok(load.counts.cut < 32, `${load.counts.cut} of 32 connections`);
    assert.deepEqual([...load.counts.answers.keys()], [200]);
    assert.equal((await findChildren(serve.pid)).length, 2);
    assert.ok((await metric('sallyport_verify_allowed_total')) >= before);
    assert.equal(await metric('sallyport_worker_restarts_total'), 1);
    assert.equal((await readyz()).status, 200);
  });

  test('one that keeps ending is started later and later', async () => {
    const back = await serve.logged('worker is back');
    process.kill(Number(back['pid']), 'SIGKILL');
    const again = await serve.logged('worker ended', 2);
    const [first] = serve.log.filter(({ msg }) => msg === 'worker ended');
    assert.deepEqual([first?.['restart_in_ms'], again['restart_in_ms']], [100, 200]);
    assert.equal(again['worker'], first?.['worker']);
    await serve.logged('worker is back', 2);
  });

  test('a port that is theirs is taken for others', async () => {
    const other = spawnServe({
      settings: settings({ listen: { ...LISTEN, verify: { ...ANYWHERE, port: serve.ports().verify } } }),
    });
    assert.equal(await other.ended, 1);
    const [fatal] = other.log.filter(({ level }) => level === 'fatal');
    const error = fatal?.['err'] as { message: string } | undefined;
    assert.equal(
      error?.message,
      `cannot listen on 127.0.0.1:${serve.ports().verify}: the address is taken or not ours`,
    );
    await other.remove();
  });

  test('SIGTERM under load: every request that was sent is answered, exit 0', async () => {
    const load = startLoad({ port: serve.ports().verify, clients: 32, ...OPEN });
    await until(() => answered(load.counts, 200) > 500, 'load', 20_000);
    const workers = await findChildren(serve.pid);
    serve.signal('SIGTERM');
    await assertStopped(serve);
    await load.stop();
    assert.equal(load.counts.cut, 0);
    assert.deepEqual([...load.counts.answers.keys()], [200]);
    assert.ok(workers.every(isGone));
  });
});

describe('workers that cannot be', () => {
  test('with the memory store: exit 78 and the line', async () => {
    const serve = spawnServe({ settings: { workers: 2 } });
    assert.equal(await serve.ended, 78);
    assert.match(serve.errors(), /the memory store serves one process, but workers is 2/);
    await serve.remove();
  });

  for (const workers of [1, 2]) {
    test(`a port that somebody else has, workers: ${workers}: exit 1 and the address`, {
      skip: skipWithout('redis-server'),
    }, async () => {
      const redis = await startRedis();
      const holder = createServer();
      const port = await new Promise<number>((resolve) => {
        holder.listen(0, '127.0.0.1', () => resolve((holder.address() as { port: number }).port));
      });
      const serve = spawnServe({
        settings: {
          workers,
          store: { kind: 'redis', redis: { url: redis.url } },
          listen: { public: { ...ANYWHERE, port }, verify: ANYWHERE },
        },
      });
      assert.equal(await serve.ended, 1);
      assert.match(
        JSON.stringify(serve.log.at(-1)),
        new RegExp(`cannot listen on 127.0.0.1:${port}: the address is taken`),
      );
      await serve.remove();
      await new Promise((resolve) => holder.close(resolve));
      await redis.remove();
    });
  }
});

/** Exit code 0; else what was said about it. */
async function assertStopped(serve: ServeProcess): Promise<void> {
  const code = await serve.ended;
  const said = serve.log.filter(({ level }) => level === 'fatal').map((line) => JSON.stringify(line));
  assert.deepEqual([code, said, serve.errors()], [0, [], '']);
}

function isGone(pid: number): boolean {
  try {
    return !process.kill(pid, 0);
  } catch {
    return true;
  }
}

/** A supervisor with a store of its own, and the process ids of its two workers. */
async function startTwo(shutdown: object) {
  const redis = await startRedis();
  const store = { kind: 'redis', redis: { url: redis.url } };
  const serve = spawnServe({ settings: { workers: 2, listen: LISTEN, store, shutdown } });
  await until(() => serve.ports().admin !== 0, 'the supervisor listens', 30_000);
  return { redis, serve, workers: await findChildren(serve.pid) };
}

describe('the end of a supervisor', { skip: skipWithout('redis-server') }, () => {
  test('killed: no worker stays behind', async () => {
    const { redis, serve, workers } = await startTwo({ unready: '0s', drain: '1s' });
    assert.equal(workers.length, 2);
    process.kill(serve.pid, 'SIGKILL');
    await until(() => workers.every(isGone), 'the workers end by themselves', 10_000);
    await serve.remove();
    await redis.remove();
  });

  test('a second SIGTERM ends the drain and everybody at once', async () => {
    const { redis, serve, workers } = await startTwo({ unready: '1m', drain: '1m' });
    const readyz = `http://127.0.0.1:${serve.ports().admin}/readyz`;
    await until(async () => (await fetch(readyz)).status === 200, 'ready', 10_000);
    serve.signal('SIGTERM');
    const signalledAt = performance.now();
    await serve.logged('stopping');
    // Once more, as from the launcher of a process group that was signalled as a whole.
    if (performance.now() - signalledAt < 250) serve.signal('SIGTERM');
    await until(async () => (await fetch(readyz)).status === 503, 'not ready any more');
    assert.equal(workers.some(isGone), false, 'unready first');
    const { status } = await fetch(`http://127.0.0.1:${serve.ports().verify}/auth/verify`, { headers: OPEN.headers });
    assert.equal(status, 200, 'and still served');
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(workers.some(isGone), false, 'the same signal twice is one');
    serve.signal('SIGTERM');
    await assertStopped(serve);
    assert.ok(workers.every(isGone));
    await serve.remove();
    await redis.remove();
  });

  test('a signal to the whole group during the start is a stop', async () => {
    const redis = await startRedis();
    const serve = spawnServe({ settings: { workers: 2, store: { kind: 'redis', redis: { url: redis.url } } } });
    let workers: number[] = [];
    const areThere = async (): Promise<boolean> => {
      workers = await findChildren(serve.pid);
      return workers.length === 2;
    };
    await until(areThere, 'workers start', 60_000);
    for (const pid of [...workers, serve.pid]) process.kill(pid, 'SIGTERM');
    await assertStopped(serve);
    assert.ok(workers.every(isGone));
    await serve.remove();
    await redis.remove();
  });

  test('in the middle of a reload and of a crash loop: all end, none is started again', async () => {
    const redis = await startRedis();
    const serve = spawnServe({
      settings: { workers: 2, store: { kind: 'redis', redis: { url: redis.url } }, shutdown: { unready: '0s' } },
    });
    await serve.logged('listening', 3, 60_000);
    const workers = await findChildren(serve.pid);
    process.kill(workers[0] ?? 0, 'SIGKILL');
    await serve.logged('worker ended');
    serve.signal('SIGHUP');
    serve.signal('SIGTERM');
    await assertStopped(serve);
    assert.ok(workers.every(isGone));
    assert.equal(serve.log.filter(({ msg }) => msg === 'worker is back').length, 0);
    await serve.remove();
    await redis.remove();
  });

  test('SIGINT, and workers that are killed while they are not ready any more: exit 0', async () => {
    const redis = await startRedis();
    const serve = spawnServe({
      settings: { workers: 2, store: { kind: 'redis', redis: { url: redis.url } }, shutdown: { unready: '1m' } },
    });
    await serve.logged('listening', 3, 60_000);
    serve.signal('SIGINT');
    await serve.logged('stopping');
    for (const pid of await findChildren(serve.pid)) process.kill(pid, 'SIGKILL');
    await assertStopped(serve);
    assert.equal(serve.log.filter(({ msg }) => msg === 'worker ended').length, 0);
    await serve.remove();
    await redis.remove();
  });
});
