import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMetrics, type Metrics } from '../src/core/metrics.ts';
import { WorkerMetrics } from '../src/worker-metrics.ts';

function worker(isReachable = true): Metrics {
  return createMetrics({
    storeReachable: () => isReachable,
    outboundSockets: () => 3,
    storeReads: () => ({ lookups: 5, writes: 2, refused: 0 }),
    storeUnreplicated: () => 1,
    l1: () => undefined,
  });
}

function merged(): WorkerMetrics {
  return new WorkerMetrics({
    workers: () => ({ configured: 2, up: 1 }),
    restarts: () => 4,
    reloads: { done: 2, refused: 1 },
  });
}

async function read(metrics: WorkerMetrics, name: string): Promise<number | undefined> {
  const line = (await metrics.exposition()).split('\n').find((text) => text.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

describe('the metrics of several workers', () => {
  test('sum counters, gauges of amounts and buckets; a state is the worst of all', async () => {
    const [first, second, sum] = [worker(), worker(false), merged()];
    first.hot.verifyAllow = 3;
    second.hot.verifyAllow = 4;
    first.hot.refused.set('access_denied', 1);
    second.hot.refused.set('access_denied', 2);
    first.idpSeconds.observe({ idp: 'main', kind: 'token' }, 0.05);
    second.idpSeconds.observe({ idp: 'main', kind: 'token' }, 0.2);
    first.verifyLatency.waited(30);
    second.verifyLatency.waited(300);
    second.verifyLatency.waited(300_000);
    sum.note(1, await first.snapshot());
    sum.note(2, await second.snapshot());
    assert.equal(await read(sum, 'sallyport_verify_seconds_bucket{le="0.05"}'), 1);
    assert.equal(await read(sum, 'sallyport_verify_seconds_bucket{le="0.5"}'), 2);
    assert.equal(await read(sum, 'sallyport_verify_seconds_count'), 3);
    assert.equal(await read(sum, 'sallyport_verify_allowed_total'), 7);
    assert.equal(await read(sum, 'sallyport_refused_total{code="access_denied"}'), 3);
    assert.equal(await read(sum, 'sallyport_outbound_sockets'), 6);
    assert.equal(await read(sum, 'sallyport_store_reachable'), 0);
    assert.equal(await read(sum, 'sallyport_idp_call_seconds_count{idp="main",kind="token"}'), 2);
    assert.equal(await read(sum, 'sallyport_idp_call_seconds_bucket{le="0.1",idp="main",kind="token"}'), 1);
  });

  test('keep what several had counted that ended at once', async () => {
    const sum = merged();
    for (let index = 1; index <= 5; index++) {
      const one = worker();
      one.hot.verifyAllow = index;
      sum.note(index, await one.snapshot());
    }
    const ends = [1, 2, 3].map((index) => sum.end(index));
    assert.equal(await read(sum, 'sallyport_verify_allowed_total'), 15, 'while they are merged, too');
    await Promise.all([...ends, sum.end(4), sum.end(5)]);
    assert.equal(await read(sum, 'sallyport_verify_allowed_total'), 15);
  });

  test('keep what an ended worker had counted, and forget what it held', async () => {
    const [first, second, sum] = [worker(), worker(), merged()];
    first.hot.verifyAllow = 3;
    second.hot.verifyAllow = 4;
    second.hot.connections = 10;
    for (let life = 1; life <= 3; life++) {
      sum.note(1, await first.snapshot());
      sum.note(2, await second.snapshot());
      assert.equal(await read(sum, 'sallyport_verify_allowed_total'), 3 + 4 * life);
      assert.equal(await read(sum, 'sallyport_connections'), 10);
      await sum.end(2);
      assert.equal(await read(sum, 'sallyport_verify_allowed_total'), 3 + 4 * life);
      assert.equal(await read(sum, 'sallyport_connections'), 0);
    }
  });

  test('the supervisor adds its own', async () => {
    const sum = merged();
    assert.equal(await read(sum, 'sallyport_workers{state="configured"}'), 2);
    assert.equal(await read(sum, 'sallyport_workers{state="up"}'), 1);
    assert.equal(await read(sum, 'sallyport_worker_restarts_total'), 4);
    assert.equal(await read(sum, 'sallyport_reloads_total{outcome="refused"}'), 1);
  });
});
