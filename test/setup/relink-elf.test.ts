import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { relinkForOlderGlibc } from '../../scripts/relink-elf.js';
import { buildElf, type ElfPlan, readSymbols } from './elf-builder.ts';

const plan: ElfPlan = {
  symbols: [
    { name: '', version: 0 },
    { name: 'malloc', version: 2 },
    { name: '__isoc23_strtol', version: 20 },
    { name: '__isoc23_strtoul', version: 20 },
    { name: '__isoc23_sscanf', version: 20 },
    { name: 'uws_app', version: 1, defined: true },
  ],
  needs: [
    { library: 'libm.so.6', versions: { 'GLIBC_2.2.5': 6 } },
    { library: 'libc.so.6', versions: { 'GLIBC_2.34': 5, 'GLIBC_2.38': 20, 'GLIBC_2.2.5': 2 } },
  ],
};

/** The flags of GLIBC_2.38: second row of the second library. */
const FLAGS_AT = 16 + 16 + 16 + 16 + 4;

describe('relinking an ELF file for an older glibc', () => {
  test('binds the three aliases to the old functions at the base version', () => {
    const elf = buildElf(plan);
    const output = relinkForOlderGlibc(elf.file);
    assert.deepEqual(readSymbols(output, elf, 6), [
      { name: '', version: 0 },
      { name: 'malloc', version: 2 },
      { name: 'strtol', version: 2 },
      { name: 'strtoul', version: 2 },
      { name: 'sscanf', version: 2 },
      { name: 'uws_app', version: 1 },
    ]);
  });

  test('marks the need of GLIBC_2.38 weak and changes nothing else', () => {
    const elf = buildElf(plan);
    const output = relinkForOlderGlibc(elf.file);
    assert.equal(output.readUInt16LE(elf.at.needs + FLAGS_AT), 2);
    const changed = [...output.keys()].filter((i) => output[i] !== elf.file[i]);
    const symbol = (i: number) => [elf.at.symbols + i * 24, elf.at.versions + i * 2];
    const expected = [...symbol(2), ...symbol(3), ...symbol(4), elf.at.needs + FLAGS_AT];
    assert.deepEqual(
      changed,
      expected.sort((a, b) => a - b),
    );
  });

  test('leaves its input as it was', () => {
    const { file } = buildElf(plan);
    const before = Buffer.from(file);
    relinkForOlderGlibc(file);
    assert.deepEqual(file, before);
  });

  test('takes the base version of AArch64 there', () => {
    const libc = { library: 'libc.so.6', versions: { 'GLIBC_2.38': 13, 'GLIBC_2.17': 3, 'GLIBC_2.2.5': 9 } };
    const elf = buildElf({ machine: 183, symbols: [{ name: '__isoc23_strtol', version: 13 }], needs: [libc] });
    assert.deepEqual(readSymbols(relinkForOlderGlibc(elf.file), elf, 1), [{ name: 'strtol', version: 3 }]);
  });

  test('refuses a file that was relinked already', () => {
    const once = relinkForOlderGlibc(buildElf(plan).file);
    assert.throws(() => relinkForOlderGlibc(once), { message: 'no undefined symbol asks for GLIBC_2.38' });
  });
});

const changes: readonly (readonly [string, Partial<ElfPlan>, string])[] = [
  ['another machine', { machine: 3 }, 'unknown ELF machine 3'],
  [
    'another function of glibc 2.38',
    { symbols: [{ name: 'strlcpy', version: 20 }] },
    'GLIBC_2.38 is needed for strlcpy, not only for aliases',
  ],
  [
    'an alias that the file defines itself',
    { symbols: [{ name: '__isoc23_strtol', version: 20, defined: true }] },
    'GLIBC_2.38 is needed for __isoc23_strtol, not only for aliases',
  ],
  [
    'no need of glibc 2.38',
    { needs: [{ library: 'libc.so.6', versions: { 'GLIBC_2.2.5': 2 } }] },
    'the file does not need GLIBC_2.38 of libc.so.6',
  ],
  [
    'versions of another library only',
    { needs: [{ library: 'libm.so.6', versions: { 'GLIBC_2.38': 20, 'GLIBC_2.2.5': 2 } }] },
    'the file does not need GLIBC_2.38 of libc.so.6',
  ],
  [
    'no base version',
    { needs: [{ library: 'libc.so.6', versions: { 'GLIBC_2.38': 20 } }] },
    'the file does not need GLIBC_2.2.5 of libc.so.6',
  ],
];

describe('relinking refuses a file with', () => {
  for (const [name, change, message] of changes) {
    test(name, () => assert.throws(() => relinkForOlderGlibc(buildElf({ ...plan, ...change }).file), { message }));
  }
});

type Break = (file: Buffer, at: ReturnType<typeof buildElf>['at']) => Buffer | undefined;
const breaks: readonly (readonly [string, Break, string])[] = [
  ['nothing in it', () => Buffer.alloc(0), 'not an ELF file'],
  ['another magic number', (file) => void file.writeUInt8(0x7e, 0), 'not an ELF file'],
  ['32 bits', (file) => void file.writeUInt8(1, 4), 'not a 64-bit little-endian ELF file'],
  ['big-endian numbers', (file) => void file.writeUInt8(2, 5), 'not a 64-bit little-endian ELF file'],
  ['no section headers', (file) => void file.writeUInt16LE(0, 60), 'malformed ELF: no section headers'],
  [
    'section headers behind its end',
    (file) => void file.writeBigUInt64LE(BigInt(file.length - 10), 40),
    'malformed ELF: section header table lies outside the file',
  ],
  [
    'a section behind its end',
    (file, at) => void file.writeBigUInt64LE(0xffffffffffffffffn, at.headers + 2 * 64 + 24),
    'malformed ELF: .dynsym lies outside the file',
  ],
  [
    'half a symbol',
    (file, at) => void file.writeBigUInt64LE(25n, at.headers + 2 * 64 + 32),
    'malformed ELF: size of .dynsym',
  ],
  [
    'two symbol tables',
    (file, at) => void file.writeUInt32LE(11, at.headers + 64 + 4),
    'malformed ELF: 2 .dynsym sections, not one',
  ],
  [
    'symbols without names',
    (file, at) => void file.writeUInt32LE(9, at.headers + 2 * 64 + 40),
    'malformed ELF: .dynsym links to no section',
  ],
  [
    'fewer versions than symbols',
    (file, at) => void file.writeBigUInt64LE(10n, at.headers + 3 * 64 + 32),
    'malformed ELF: .gnu.version and .dynsym differ in length',
  ],
  [
    'a name outside its table',
    (file, at) => void file.writeUInt32LE(0xffffff, at.symbols + 2 * 24),
    'malformed ELF: a name lies outside its string table',
  ],
  [
    'a needed version outside its section',
    (file, at) => void file.writeUInt32LE(0xffff, at.needs + 32 + 8),
    'malformed ELF: .gnu.version_r lies outside the file',
  ],
  [
    'its end missing',
    (file) => file.subarray(0, file.length - 1),
    'malformed ELF: section header table lies outside the file',
  ],
];

describe('relinking refuses a malformed file with', () => {
  for (const [name, breakFile, message] of breaks) {
    test(name, () => {
      const { file, at } = buildElf(plan);
      assert.throws(() => relinkForOlderGlibc(breakFile(file, at) ?? file), { message });
    });
  }

  test('any bytes: it answers or throws an Error with words, and ends', () => {
    const { file } = buildElf(plan);
    const edits = fc.array(fc.tuple(fc.nat(file.length - 1), fc.nat(255)), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(edits, (list) => {
        const broken = Buffer.from(file);
        for (const [at, value] of list) broken[at] = value;
        try {
          assert.equal(relinkForOlderGlibc(broken).length, broken.length);
        } catch (error) {
          assert.match((error as Error).message, /ELF|GLIBC/);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
