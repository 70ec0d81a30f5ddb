import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findStaleness } from '../../scripts/setup/npm-tree.js';

const lock = {
  '': { version: '0.1.0' },
  'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
  'node_modules/a-linux': { version: '1.0.0', integrity: 'sha512-l', optional: true },
  'node_modules/tool': { version: '2.0.0', integrity: 'sha512-t', dev: true },
};
const { 'node_modules/a': a, 'node_modules/a-linux': linux, 'node_modules/tool': tool } = lock;
const complete = { 'node_modules/a': a, 'node_modules/a-linux': linux, 'node_modules/tool': tool };

describe('node_modules', () => {
  const cases = [
    ['is stale when nothing is installed', undefined, true, 'not installed yet'],
    ['is up to date when it is what the lock file says', complete, true, undefined],
    [
      'is up to date without an optional package for another system',
      { 'node_modules/a': a, 'node_modules/tool': tool },
      true,
      undefined,
    ],
    ['is stale when a package is missing', { 'node_modules/tool': tool }, true, 'node_modules/a is not as locked'],
    [
      'is stale when a package has another version',
      { ...complete, 'node_modules/a': { ...a, version: '1.0.1' } },
      true,
      'node_modules/a is not as locked',
    ],
    [
      'is stale when a package has other content',
      { ...complete, 'node_modules/a': { ...a, integrity: 'sha512-x' } },
      true,
      'node_modules/a is not as locked',
    ],
    [
      'is stale when an optional package has another version',
      { ...complete, 'node_modules/a-linux': { ...linux, version: '0.9.0' } },
      true,
      'node_modules/a-linux is not as locked',
    ],
    [
      'is stale when it holds a package that is not locked',
      { ...complete, 'node_modules/b': a },
      true,
      'node_modules/b is not in the lock file',
    ],
    [
      'is stale without tools when they are wanted',
      { 'node_modules/a': a },
      true,
      'node_modules/tool is not as locked',
    ],
    ['is up to date without tools when they are not wanted', { 'node_modules/a': a }, false, undefined],
  ] as const;
  for (const [name, installed, withDev, problem] of cases) {
    test(name, () => assert.equal(findStaleness(lock, installed, withDev), problem));
  }
});
