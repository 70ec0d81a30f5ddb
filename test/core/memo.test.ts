import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMemo } from '../../src/core/memo.ts';

test('a remembered function is asked once for each short text, up to its bound, and always right', () => {
  const asked: string[] = [];
  const memo = createMemo(
    (text) => {
      asked.push(text);
      return text.toUpperCase();
    },
    { maxEntries: 2, maxChars: 3 },
  );
  for (const text of ['a', 'long', 'b', 'c', 'a', 'b', 'c', 'long']) assert.equal(memo(text), text.toUpperCase());
  assert.deepEqual(asked, ['a', 'long', 'b', 'c', 'c', 'long']);
});
