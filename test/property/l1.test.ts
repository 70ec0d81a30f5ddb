import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { HEARTBEAT_MS, L1World, SESSIONS } from './l1-world.ts';

const index = fc.nat(SESSIONS - 1);
const isDeletion = fc.constantFrom(false, false, false, false, true);
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('find'), index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('change'), index, isDeletion }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('changeOwn'), index, isDeletion }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait'), ms: fc.constantFrom(1, 100, 400, HEARTBEAT_MS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lapse'), index }) },
  ...(
    [
      ['settleReads', 4],
      ['serveRead', 9],
      ['deliverRead', 9],
      ['deliverMessage', 6],
      ['beat', 4],
      ['reconnectChannel', 3],
      ['silenceChannel', 1],
      ['cutChannel', 1],
      ['cutReads', 1],
    ] as const
  ).map(([kind, weight]) => ({ weight, arbitrary: fc.record({ kind: fc.constant(kind) }) })),
);
const topologyStep = fc.oneof(
  { weight: 40, arbitrary: step },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('usurp'), index }) },
  ...(
    [
      ['failOver', 1],
      ['vouch', 10],
    ] as const
  ).map(([kind, weight]) => ({ weight, arbitrary: fc.record({ kind: fc.constant(kind) }) })),
);
type Step = typeof topologyStep extends fc.Arbitrary<infer Value> ? Value : never;

async function take(world: L1World, each: Step): Promise<void> {
  switch (each.kind) {
    case 'find':
      return world.find(each.index);
    case 'change':
      return world.change(each.index, each.isDeletion);
    case 'changeOwn':
      return world.changeOwn(each.index, each.isDeletion);
    case 'lapse':
      return world.lapse(each.index);
    case 'usurp':
      return world.usurp(each.index);
    case 'wait':
      return world.wait(each.ms);
    default:
      return world[each.kind]();
  }
}

describe('sessions with an L1, whatever is delayed, lost or cut', () => {
  test('nobody gets what an acknowledged change ended, nor what changed two heartbeats ago', async () => {
    let hits = 0;
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 40, maxLength: 150, size: 'max' }),
      fc.constantFrom(1, 2, 100),
      async (steps, maxEntries) => {
        const world = new L1World(maxEntries);
        world.reconnectChannel();
        world.deliverMessage();
        for (const each of steps) await take(world, each);
        await world.finish();
        hits += world.hits;
      },
    );
    await fc.assert(property, { numRuns: 1_000 });
    assert.ok(hits > 1_000, `the cache was hit ${hits} times`);
  });

  test('the same while masters take each other’s place and the old one goes on answering', async () => {
    let hits = 0;
    const property = fc.asyncProperty(
      fc.array(topologyStep, { minLength: 40, maxLength: 150, size: 'max' }),
      async (steps) => {
        const world = new L1World(100);
        await world.vouch();
        world.reconnectChannel();
        world.deliverMessage();
        for (const each of steps) await take(world, each);
        await world.vouch();
        await world.finish();
        hits += world.hits;
      },
    );
    await fc.assert(property, { numRuns: 1_000 });
    assert.ok(hits > 200, `the cache was hit ${hits} times`);
  });

  test('a deposed master that answers every PING is believed for two heartbeats and no longer', async () => {
    const world = new L1World(10);
    await world.vouch();
    world.reconnectChannel();
    world.deliverMessage();
    world.find(0);
    await world.finish();
    world.find(0);
    assert.equal(world.hits, 1);
    world.usurp(0);
    world.find(0);
    await world.finish();
    assert.equal(world.hits, 1);
  });

  test('a session that nobody changes is found again without the store', async () => {
    const world = new L1World(10);
    world.reconnectChannel();
    world.deliverMessage();
    world.find(0);
    await world.finish();
    world.wait(2 * HEARTBEAT_MS - 1);
    world.find(0);
    assert.equal(world.hits, 1);
    world.wait(1);
    world.find(0);
    assert.equal(world.hits, 1, 'two heartbeats without an answer');
    await world.finish();
  });
});
