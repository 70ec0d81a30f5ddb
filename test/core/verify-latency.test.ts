import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LATENCY_BUCKETS_S, VerifyLatency } from '../../src/core/verify-latency.ts';

const total = ({ counts }: VerifyLatency): number => counts.reduce((sum, count) => sum + count, 0);

test('of the answers that are given at once every 64th is timed and counts for 64', () => {
  const latency = new VerifyLatency();
  let timed = 0;
  for (let at = 0; at < 640; at += 1) {
    const startedAt = latency.begin();
    if (startedAt >= 0) timed += 1;
    latency.end(startedAt);
  }
  assert.equal(timed, 10);
  assert.equal(total(latency), 640);
  assert.ok(latency.sumS > 0);
});

test('those that waited count one by one, in the bucket of their time, above all bounds in the last', () => {
  const latency = new VerifyLatency();
  for (const ms of [0, 1, 2, 5_000, 60_000, -3]) latency.waited(ms);
  assert.equal(latency.counts[0], 2);
  assert.equal(latency.counts[LATENCY_BUCKETS_S.indexOf(0.001)], 1);
  assert.equal(latency.counts[LATENCY_BUCKETS_S.indexOf(0.002_5)], 1);
  assert.equal(latency.counts[LATENCY_BUCKETS_S.indexOf(5)], 1);
  assert.equal(latency.counts.at(-1), 1);
  assert.equal(total(latency), 6);
});
