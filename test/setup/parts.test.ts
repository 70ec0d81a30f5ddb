import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { findOnPath, findPart, formatParts, getRow, parts, projectFolder } from '../../scripts/parts.js';
import { getPart, PARTS_LOG_VARIABLE, requirePart, skipWithout } from '../support/parts.ts';

const readJson = (path: string) => JSON.parse(readFileSync(join(projectFolder, path), 'utf8'));

describe('the table of parts', () => {
  test('is what docs/PARTS.md shows', () => {
    assert.equal(readFileSync(join(projectFolder, 'docs/PARTS.md'), 'utf8'), formatParts());
  });

  test('names the npm packages at the versions of package.json and the lock file', () => {
    const { dependencies, devDependencies } = readJson('package.json');
    const locked = readJson('package-lock.json').packages;
    for (const part of parts.filter(({ kind }) => kind === 'npm')) {
      const wanted: string = { ...dependencies, ...devDependencies }[part.name];
      assert.equal(wanted.replace(`npm:${part.package}@`, ''), part.version, part.name);
      assert.equal(locked[`node_modules/${part.name}`].version, part.version, part.name);
    }
  });

  test('has a digest for each program that does not come from a checked index', () => {
    for (const part of parts.filter(({ kind }) => kind === 'pypi')) {
      assert.deepEqual(Object.keys(part.sha256 ?? {}), ['linux-x64', 'linux-arm64'], part.name);
      assert.deepEqual(Object.keys(part.wheelSha256 ?? {}), ['linux-x64', 'linux-arm64'], part.name);
    }
  });

  test('has a digest for each server from Maven, whose repositories do not sign for it', () => {
    for (const part of parts.filter(({ kind }) => kind === 'maven')) {
      assert.match(part.sha256?.['any machine'] ?? '', /^[0-9a-f]{64}$/, part.name);
    }
  });

  test('knows no other parts', () => assert.throws(() => getRow('other'), { message: 'parts.json has no part other' }));
});

describe('asking for a part', () => {
  let folder = '';
  const { PATH, CI, [PARTS_LOG_VARIABLE]: log } = process.env;
  const restore = (name: string, value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-parts-'));
    process.env['PATH'] = folder;
    process.env[PARTS_LOG_VARIABLE] = join(folder, 'log');
    delete process.env['CI'];
  });
  afterEach(() => {
    restore('PATH', PATH);
    restore('CI', CI);
    restore(PARTS_LOG_VARIABLE, log);
    rmSync(folder, { recursive: true });
  });
  const addProgram = (name: string, mode: number) => {
    writeFileSync(join(folder, name), '');
    chmodSync(join(folder, name), mode);
  };
  const noted = () =>
    readFileSync(join(folder, 'log'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { part: string; outcome: string })
      .map(({ part, outcome }) => `${part} ${outcome}`);
  const NEEDS_REDIS = 'needs redis-server; get it with: apt-get install -y --no-install-recommends redis-server';

  test('finds a program on the PATH only if it can be executed', () => {
    addProgram('chromium', 0o644);
    assert.equal(findPart('chromium'), undefined);
    addProgram('google-chrome', 0o755);
    assert.equal(findPart('chromium'), join(folder, 'google-chrome'));
    assert.equal(findOnPath(['none']), undefined);
  });

  test('does not skip when it is there, and notes the use', () => {
    addProgram('redis-server', 0o755);
    assert.equal(skipWithout('redis-server'), false);
    assert.equal(getPart('redis-server'), join(folder, 'redis-server'));
    assert.deepEqual(noted(), ['redis-server used']);
  });

  test('skips with one line that names it and how to get it, and notes that', () => {
    addProgram('openssl', 0o755);
    assert.equal(skipWithout('openssl', 'redis-server'), NEEDS_REDIS);
    assert.throws(() => getPart('redis-server'), { message: NEEDS_REDIS });
    assert.deepEqual(noted(), ['redis-server skipped']);
  });

  test('marks the running test as skipped', (t) => {
    const lines: unknown[] = [];
    t.mock.method(t, 'skip', (line: unknown) => lines.push(line));
    assert.equal(requirePart(t, 'redis-server'), undefined);
    assert.deepEqual(lines, [NEEDS_REDIS]);
  });

  test('fails instead of skipping when CI=true', () => {
    process.env['CI'] = 'true';
    assert.throws(() => skipWithout('redis-server'), { message: `${NEEDS_REDIS} (CI=true: no test may be skipped)` });
  });
});
