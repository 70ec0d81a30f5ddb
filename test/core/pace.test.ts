import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPace } from '../../src/core/pace.ts';

/** Counts turns of the loop until it is stopped. */
function countTurns() {
  const counter = { turn: 0, isOver: false };
  const count = (): void => {
    counter.turn += 1;
    if (!counter.isOver) setImmediate(count);
  };
  setImmediate(count);
  return counter;
}

test('a few go on in order, one in each turn of the loop, and later ones are not forgotten', async () => {
  const pace = createPace();
  const counter = countTurns();
  const turns = new Map<string, number>();
  const work = async (name: string): Promise<void> => {
    await pace();
    turns.set(`${name}1`, counter.turn);
    await pace();
    turns.set(`${name}2`, counter.turn);
  };
  await Promise.all(['a', 'b', 'c'].map(work));
  await work('d');
  counter.isOver = true;
  assert.deepEqual([...turns.keys()], ['a1', 'b1', 'c1', 'a2', 'b2', 'c2', 'd1', 'd2']);
  assert.equal(new Set(turns.values()).size, turns.size, 'never two in one turn');
});

test('a crowd goes on in order, several in a turn, and its last ones as slowly as a few', async () => {
  const pace = createPace();
  const counter = countTurns();
  const order: number[] = [];
  const turns: number[] = [];
  await Promise.all(
    Array.from({ length: 5_000 }, async (_, at) => {
      await pace();
      order.push(at);
      turns.push(counter.turn);
    }),
  );
  counter.isOver = true;
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  assert.ok(counter.turn < 150, `${counter.turn} turns`);
  assert.equal(new Set(turns.slice(-16)).size, 16);
});
