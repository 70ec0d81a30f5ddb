import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkBuffers } from '../../src/proxy/chunk-buffers.ts';

const chunk = (bytes: number, fill: number): ArrayBuffer => new Uint8Array(bytes).fill(fill).buffer;

test('copies of parts of bodies hold exactly what was copied, whatever their memory held before', () => {
  const buffers = new ChunkBuffers();
  for (const bytes of [1, 4_096, 4_097, 65_536, 70_000, 524_288, 600_000, 3]) {
    const copy = buffers.copy(chunk(bytes, bytes & 0xff));
    assert.deepEqual([...new Set(copy)], [bytes & 0xff]);
    assert.equal(copy.length, bytes);
    buffers.release(copy);
  }
});

test('the memory of a copy is used again once it is given back, and not before', () => {
  const buffers = new ChunkBuffers();
  const first = buffers.copy(chunk(20_000, 1));
  const second = buffers.copy(chunk(20_000, 2));
  assert.notEqual(first.buffer, second.buffer);
  buffers.release(first);
  assert.equal(buffers.copy(chunk(30_000, 3)).buffer, first.buffer);
  assert.notEqual(buffers.copy(chunk(30_000, 4)).buffer, first.buffer);
});

test('what is kept free is bounded', () => {
  const buffers = new ChunkBuffers();
  const copies = Array.from({ length: 64 }, () => buffers.copy(chunk(524_288, 1)));
  for (const copy of copies) buffers.release(copy);
  const known = new Set(copies.map(({ buffer }) => buffer));
  const again = Array.from({ length: 64 }, () => buffers.copy(chunk(524_288, 2)));
  assert.equal(again.filter(({ buffer }) => known.has(buffer)).length, 16);
});
