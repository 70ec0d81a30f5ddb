import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { hardenCore, hardenFolder } from '../../scripts/harden-uws.js';
import { relinkForOlderGlibc } from '../../scripts/relink-elf.js';
import { relinkFolder } from '../../scripts/relink-uws.js';
import { findPackageFolder, readSystem, UWS_FILES } from '../../scripts/uws-files.js';
import { buildElf } from './elf-builder.ts';

const TRAILING = { signed: '41807c0301217d0c', unsigned: '41807c030121730c' };
const LEADING = { signed: '41807bff207f11', unsigned: '41807bff207711' };
const READING = { again: '4181fe000008000f85ba000000', once: '4181fe000008800f85ba000000' };
const hex = (...parts: string[]) => Buffer.from(parts.join(''), 'hex');
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

describe('hardening the core', () => {
  test('changes the three comparisons and nothing else', () => {
    const output = hardenCore(hex('7d7f', LEADING.signed, '207f1121', TRAILING.signed, '7d0c', READING.again, '0800'));
    const expected = hex('7d7f', LEADING.unsigned, '207f1121', TRAILING.unsigned, '7d0c', READING.once, '0800');
    assert.deepEqual(output, expected);
  });

  test('leaves its input as it was', () => {
    const input = hex(TRAILING.signed, LEADING.signed, READING.again);
    hardenCore(input);
    assert.deepEqual(input, hex(TRAILING.signed, LEADING.signed, READING.again));
  });

  test('completes a file that has some of the corrections', () => {
    const complete = hex(TRAILING.unsigned, LEADING.unsigned, READING.once);
    assert.deepEqual(hardenCore(hex(TRAILING.unsigned, LEADING.unsigned, READING.again)), complete);
    assert.deepEqual(hardenCore(complete), complete);
  });

  const [trailing, leading, reading] = [TRAILING.signed, LEADING.signed, READING.again];
  const refused = [
    ['without the trailing comparison', [leading, reading], `no comparison ${trailing} in the file`],
    ['without the leading comparison', [trailing, reading], `no comparison ${leading} in the file`],
    ['without the comparison of reads', [trailing, leading], `no comparison ${reading} in the file`],
    ['with one comparison twice', [trailing, leading, reading, trailing], `more than one comparison ${trailing}`],
    [
      'with one comparison corrected and not',
      [trailing, leading, reading, READING.once],
      `more than one comparison ${reading}`,
    ],
  ] as const;
  for (const [what, parts, message] of refused) {
    test(`refuses a file ${what}`, () => assert.throws(() => hardenCore(hex(...parts)), { message }));
  }
});

const FILE = 'uws_linux_x64_137.node';
const { file: elf } = buildElf({
  symbols: [{ name: '__isoc23_strtol', version: 20 }],
  needs: [{ library: 'libc.so.6', versions: { 'GLIBC_2.38': 20, 'GLIBC_2.2.5': 2 } }],
});
const published = Buffer.concat([elf, hex(TRAILING.signed, LEADING.signed, READING.again)]);
const relinked = relinkForOlderGlibc(published);
const hardened = hardenCore(published);
const both = hardenCore(relinked);
const hardenSteps = [
  [FILE, sha256(published), sha256(hardened)],
  [FILE, sha256(relinked), sha256(both)],
];
const relinkSteps = [
  [FILE, sha256(published), sha256(relinked)],
  [FILE, sha256(hardened), sha256(both)],
];
const debian12 = { platform: 'linux', arch: 'x64', glibc: '2.36' };
const HARDENED = 'hardened 1 binaries';
const ALREADY = '1 binaries already hardened';

describe('hardening the package', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-harden-'));
    writeFileSync(join(folder, FILE), published, { mode: 0o755 });
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const content = (name = FILE) => readFileSync(join(folder, name));
  const harden = (system = debian12) => hardenFolder(folder, system, hardenSteps);
  const relink = () => relinkFolder(folder, debian12, relinkSteps);

  test('hardens a listed file, keeps its mode and leaves no other file behind', () => {
    assert.equal(harden(), HARDENED);
    assert.deepEqual(content(), hardened);
    assert.equal(statSync(join(folder, FILE)).mode & 0o777, 0o755);
    assert.deepEqual(readdirSync(folder), [FILE]);
  });

  for (const glibc of ['2.35', '2.38', '2.41', undefined]) {
    test(`does so with glibc ${glibc}, where relinking changes nothing`, () => {
      const system = { platform: 'linux', arch: 'x64', glibc };
      relinkFolder(folder, system, relinkSteps);
      assert.deepEqual(content(), published);
      assert.equal(hardenFolder(folder, system, hardenSteps), HARDENED);
      relinkFolder(folder, system, relinkSteps);
      assert.deepEqual(content(), hardened);
    });
  }

  test('changes nothing the second time', () => {
    harden();
    assert.equal(harden(), ALREADY);
    assert.deepEqual(content(), hardened);
  });

  const relinkedLine = 'relinked 1 binaries for glibc 2.36';
  const orders = [
    ['after relinking', () => [relink(), harden()], [relinkedLine, HARDENED]],
    ['before relinking', () => [harden(), relink()], [HARDENED, relinkedLine]],
  ] as const;
  for (const [when, run, lines] of orders) {
    test(`comes to the same file ${when}, which both steps then know as done`, () => {
      assert.deepEqual(run(), lines);
      assert.deepEqual(content(), both);
      assert.deepEqual([harden(), relink()], [ALREADY, '1 binaries already relinked for glibc 2.36']);
      assert.deepEqual(content(), both);
    });
  }

  test('leaves a file with an unknown digest alone, even one that could be hardened, and says so', () => {
    const other = Buffer.concat([published, Buffer.from([0])]);
    writeFileSync(join(folder, FILE), other);
    writeFileSync(join(folder, 'uws_linux_x64_200.node'), published);
    assert.equal(harden(), `not hardened, unknown SHA-256: ${FILE} uws_linux_x64_200.node`);
    assert.deepEqual([content(), content('uws_linux_x64_200.node')], [other, published]);
  });

  test('refuses a result with another digest than listed, and keeps the file', () => {
    const wrong = [[FILE, sha256(published), '0'.repeat(64)]];
    assert.throws(() => hardenFolder(folder, debian12, wrong), /becomes SHA-256 [0-9a-f]{64}, expected 0{64}$/);
    assert.deepEqual(content(), published);
    assert.deepEqual(readdirSync(folder), [FILE]);
  });

  test('says when there is nothing to harden', () => {
    rmSync(join(folder, FILE));
    assert.equal(harden(), 'not hardened: no binary for linux x64 in the package');
  });

  const elsewhere = [
    [
      'linux',
      'arm64',
      'not hardened: linux arm64 compares bytes as unsigned, and no correction of its reading is known',
    ],
    ['darwin', 'arm64', 'not hardened: no correction is known for darwin arm64'],
    ['win32', 'x64', 'not hardened: no correction is known for win32 x64'],
  ] as const;
  for (const [platform, arch, line] of elsewhere) {
    test(`changes nothing on ${platform} ${arch}`, () => {
      assert.equal(harden({ ...debian12, platform, arch }), line);
      assert.deepEqual(content(), published);
    });
  }
});

/** Puts a hardened binary back; one that is not hardened stays as it is. */
function soften(file: Buffer): Buffer {
  const output = Buffer.from(file);
  const corrections = [
    [TRAILING.signed, TRAILING.unsigned],
    [LEADING.signed, LEADING.unsigned],
    [READING.again, READING.once],
  ] as const;
  for (const [before, after] of corrections) {
    const at = output.indexOf(hex(after));
    if (at >= 0) hex(before).copy(output, at);
  }
  return output;
}

describe('the installed uWebSockets.js', () => {
  const installed = findPackageFolder();

  test('is hardened, or is for a system that is not', () => {
    assert.match(
      hardenFolder(installed, readSystem()),
      /^(4 binaries already hardened|not hardened: linux arm64 .*)$/,
      'run "node scripts/postinstall.js"',
    );
  });

  test('has four binaries for x86-64, which harden to their listed digests', () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-harden-'));
    try {
      const names = readdirSync(installed).filter((name) => name.startsWith('uws_linux_x64_'));
      for (const name of names) {
        const row = UWS_FILES.find((file) => file.name === name);
        const file = soften(readFileSync(join(installed, name)));
        assert.ok([row?.published, row?.relinked].includes(sha256(file)), name);
        writeFileSync(join(folder, name), file);
      }
      assert.equal(hardenFolder(folder, debian12), 'hardened 4 binaries');
      assert.equal(hardenFolder(folder, debian12), '4 binaries already hardened');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('hears nothing of a connection that is paused', async () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'pause-once.ts')], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.deepEqual(
      { status, stderr, stdout },
      { status: 0, stderr: '', stdout: `${64 * 1_048_576} bytes, 0 while paused` },
    );
  });

  test('trims SP and HTAB alone from header values, and keeps every other byte at their ends', () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'trim-once.ts')], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    const seen = new Map(stdout.split('\n').map((line) => [line.slice(0, 2), line.slice(3)]));
    // The native core decodes values as UTF-8, so a byte that starts no character arrives as U+FFFD.
    const expected = (byte: number) => (byte < 0x80 ? byte.toString(16) : 'efbfbd');
    assert.deepEqual({ status, stderr, lines: seen.size - 1 }, { status: 0, stderr: '', lines: 1 + 0xe0 });
    assert.deepEqual([seen.get('09'), seen.get('20')], ['61', '61']);
    for (let byte = 0x21; byte <= 0xff; byte++) {
      assert.equal(seen.get(byte.toString(16)), `${expected(byte)}61${expected(byte)}`);
    }
  });
});
