import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { relinkForOlderGlibc } from '../../scripts/relink-elf.js';
import { relinkFolder } from '../../scripts/relink-uws.js';
import { findPackageFolder, readSystem } from '../../scripts/uws-files.js';
import { buildElf } from './elf-builder.ts';

const original = buildElf({
  symbols: [{ name: '__isoc23_strtol', version: 20 }],
  needs: [{ library: 'libc.so.6', versions: { 'GLIBC_2.38': 20, 'GLIBC_2.2.5': 2 } }],
}).file;
const relinked = relinkForOlderGlibc(original);
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
const FILE = 'uws_linux_x64_137.node';
const known = [[FILE, sha256(original), sha256(relinked)]];
const debian12 = { platform: 'linux', arch: 'x64', glibc: '2.36' };

describe('relinking the package', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-relink-'));
    writeFileSync(join(folder, FILE), original, { mode: 0o755 });
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const content = (name = FILE) => readFileSync(join(folder, name));

  test('relinks a listed file, keeps its mode and leaves no other file behind', () => {
    assert.equal(relinkFolder(folder, debian12, known), 'relinked 1 binaries for glibc 2.36');
    assert.deepEqual(content(), relinked);
    assert.equal(statSync(join(folder, FILE)).mode & 0o777, 0o755);
    assert.deepEqual(readdirSync(folder), [FILE]);
  });

  test('changes nothing the second time', () => {
    relinkFolder(folder, debian12, known);
    assert.equal(relinkFolder(folder, debian12, known), '1 binaries already relinked for glibc 2.36');
    assert.deepEqual(content(), relinked);
  });

  test('leaves a file with an unknown digest alone, even one that could be relinked', () => {
    const other = Buffer.concat([original, Buffer.from([0])]);
    writeFileSync(join(folder, FILE), other);
    assert.equal(relinkFolder(folder, debian12, known), `left alone, unknown SHA-256: ${FILE}`);
    assert.deepEqual(content(), other);
  });

  test('leaves a listed file alone when it has another name', () => {
    writeFileSync(join(folder, 'uws_linux_x64_200.node'), original);
    relinkFolder(folder, debian12, known);
    assert.deepEqual(content('uws_linux_x64_200.node'), original);
  });

  test('refuses a result with another digest than listed, and keeps the file', () => {
    const wrong = [[FILE, sha256(original), '0'.repeat(64)]];
    assert.throws(() => relinkFolder(folder, debian12, wrong), /becomes SHA-256 [0-9a-f]{64}, expected 0{64}$/);
    assert.deepEqual(content(), original);
  });

  const elsewhere = [
    [{ ...debian12, glibc: '2.38' }, 'no relink needed: glibc 2.38'],
    [{ ...debian12, glibc: '2.41' }, 'no relink needed: glibc 2.41'],
    [{ ...debian12, glibc: '3.0' }, 'no relink needed: glibc 3.0'],
    [{ ...debian12, glibc: '2.35' }, 'not relinked: glibc 2.35 is too old, 2.36 or newer is needed'],
    [{ ...debian12, glibc: undefined }, 'no relink needed: not a glibc system'],
    [{ ...debian12, platform: 'darwin' }, 'no relink needed: not a glibc system'],
    [{ ...debian12, arch: 'arm64' }, 'not relinked: no binary for linux arm64 in the package'],
  ] as const;
  for (const [system, line] of elsewhere) {
    test(`changes nothing on ${system.platform} ${system.arch} with glibc ${system.glibc}`, () => {
      assert.equal(relinkFolder(folder, system, known), line);
      assert.deepEqual(content(), original);
    });
  }
});

describe('the installed uWebSockets.js', () => {
  test('is known to the relinker by digest, or needs no relinking', () => {
    const line = relinkFolder(findPackageFolder(), readSystem());
    assert.match(line, /^(\d+ binaries already relinked for glibc [\d.]+|no relink needed: .*)$/);
  });

  test('has binaries for the other processor that relink to their listed digests', () => {
    const arch = process.arch === 'x64' ? 'arm64' : 'x64';
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-relink-'));
    try {
      const names = readdirSync(findPackageFolder()).filter((name) => name.startsWith(`uws_linux_${arch}_`));
      for (const name of names) copyFileSync(join(findPackageFolder(), name), join(folder, name));
      const line = relinkFolder(folder, { platform: 'linux', arch, glibc: '2.36' });
      assert.equal(line, 'relinked 4 binaries for glibc 2.36');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('loads and serves', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'serve-once.ts')], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.deepEqual({ status, stdout }, { status: 0, stdout: '200 GET /path\n' }, stderr);
  });
});
