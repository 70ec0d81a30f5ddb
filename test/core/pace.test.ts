import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPace } from '../../src/core/pace.ts';

test('who waits goes on in order, one in each turn of the loop, and later ones are not forgotten', async () => {
  const pace = createPace();
  let turn = 0;
  let isOver = false;
  const count = (): void => {
    turn += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const turns = new Map<string, number>();
  const work = async (name: string): Promise<void> => {
    await pace();
    turns.set(`${name}1`, turn);
    await pace();
    turns.set(`${name}2`, turn);
  };
  await Promise.all(['a', 'b', 'c'].map(work));
  await work('d');
  isOver = true;
  assert.deepEqual([...turns.keys()], ['a1', 'b1', 'c1', 'a2', 'b2', 'c2', 'd1', 'd2']);
  assert.equal(new Set(turns.values()).size, turns.size, 'never two in one turn');
});
