/**
 * Relinking of a 64-bit little-endian ELF shared object to an older glibc: bytes in, bytes out, no files.
 *
 * Compilers on glibc 2.38 and newer bind `strtol`, `strtoul` and `sscanf` to C23 aliases (`__isoc23_strtol`, ...) that
 * exist only there. The aliases differ from the old functions in one thing: they also read `0b` binary literals.
 * A binary that needs nothing else of glibc 2.38 loads on an older one once three things are changed in place:
 * the undefined names start behind their prefix, they ask for the base version, and the need of 2.38 is marked weak.
 * Hash tables (`.gnu.hash`) cover defined symbols only, so undefined ones may be renamed.
 *
 * Plain JavaScript without dependencies: it runs while packages are being installed, on any Node from 18 on.
 */

const PREFIX = '__isoc23_';
const ALIASES = ['__isoc23_strtol', '__isoc23_strtoul', '__isoc23_sscanf'];
const NEW_VERSION = 'GLIBC_2.38';
const LIBC = 'libc.so.6';

/** Oldest symbol version of glibc, by `e_machine`: x86-64 and AArch64. */
const BASE_VERSION = new Map([
  [62, 'GLIBC_2.2.5'],
  [183, 'GLIBC_2.17'],
]);

const SHT_DYNSYM = 11;
const SHT_GNU_VERNEED = 0x6ffffffe;
const SHT_GNU_VERSYM = 0x6fffffff;
const SECTION_BYTES = 64;
const SYMBOL_BYTES = 24;
const VERNEED_BYTES = 16;
const VERNAUX_BYTES = 16;
const VER_FLG_WEAK = 2;

/**
 * Returns a copy of `input` in which the C23 aliases of glibc 2.38 are bound to the functions every glibc has.
 *
 * @param {Buffer} input a whole ELF64 little-endian file for x86-64 or AArch64
 * @returns {Buffer} the same number of bytes; `input` is left as it was
 * @throws {Error} when the file is malformed, needs no glibc 2.38, or needs it for anything but the aliases
 */
export function relinkForOlderGlibc(input) {
  const baseVersion = readBaseVersion(input);
  const sections = readSections(input);
  const symbols = findSection(sections, SHT_DYNSYM, '.dynsym', SYMBOL_BYTES);
  const versions = findSection(sections, SHT_GNU_VERSYM, '.gnu.version', 2);
  const needs = findSection(sections, SHT_GNU_VERNEED, '.gnu.version_r', 1);
  const names = linkedSection(sections, symbols, '.dynsym');
  const libcNeeds = readLibcNeeds(input, needs, linkedSection(sections, needs, '.gnu.version_r'));
  const wanted = getNeed(libcNeeds, NEW_VERSION);
  const base = getNeed(libcNeeds, baseVersion);
  if (versions.size / 2 !== symbols.size / SYMBOL_BYTES) {
    throw new Error('malformed ELF: .gnu.version and .dynsym differ in length');
  }

  const output = Buffer.from(input);
  const moved = moveAliases(output, { symbols, versions, names, from: wanted.index, to: base.index });
  if (moved === 0) throw new Error(`no undefined symbol asks for ${NEW_VERSION}`);
  output.writeUInt16LE(input.readUInt16LE(wanted.flagsOffset) | VER_FLG_WEAK, wanted.flagsOffset);
  return output;
}

function moveAliases(output, { symbols, versions, names, from, to }) {
  let moved = 0;
  for (let i = 0; i < symbols.size / SYMBOL_BYTES; i++) {
    const versionAt = versions.offset + i * 2;
    if ((output.readUInt16LE(versionAt) & 0x7fff) !== from) continue;
    const symbolAt = symbols.offset + i * SYMBOL_BYTES;
    const nameOffset = output.readUInt32LE(symbolAt);
    const name = readName(output, names, nameOffset);
    const isDefined = output.readUInt16LE(symbolAt + 6) !== 0;
    if (isDefined || !ALIASES.includes(name))
      throw new Error(`${NEW_VERSION} is needed for ${name}, not only for aliases`);
    output.writeUInt32LE(nameOffset + PREFIX.length, symbolAt);
    output.writeUInt16LE(to, versionAt);
    moved++;
  }
  return moved;
}

function readBaseVersion(file) {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46) throw new Error('not an ELF file');
  if (file[4] !== 2 || file[5] !== 1) throw new Error('not a 64-bit little-endian ELF file');
  const machine = file.readUInt16LE(18);
  const version = BASE_VERSION.get(machine);
  if (version === undefined) throw new Error(`unknown ELF machine ${machine}`);
  return version;
}

function readSections(file) {
  const start = readOffset(file, 40, 'section header table');
  const count = file.readUInt16LE(60);
  if (count === 0) throw new Error('malformed ELF: no section headers');
  if (file.readUInt16LE(58) !== SECTION_BYTES) throw new Error('malformed ELF: section header size');
  checkRange(file.length, start, count * SECTION_BYTES, 'section header table');
  const sections = [];
  for (let at = start; sections.length < count; at += SECTION_BYTES) {
    sections.push({ type: file.readUInt32LE(at + 4), at, file, link: file.readUInt32LE(at + 40) });
  }
  return sections;
}

function findSection(sections, type, name, entryBytes) {
  const found = sections.filter((section) => section.type === type);
  if (found.length !== 1) throw new Error(`malformed ELF: ${found.length} ${name} sections, not one`);
  const placed = placeSection(found[0], name);
  if (placed.size === 0 || placed.size % entryBytes !== 0) throw new Error(`malformed ELF: size of ${name}`);
  return placed;
}

function linkedSection(sections, { link }, name) {
  if (link >= sections.length) throw new Error(`malformed ELF: ${name} links to no section`);
  return placeSection(sections[link], `string table of ${name}`);
}

function placeSection({ file, at, link }, name) {
  const offset = readOffset(file, at + 24, name);
  const size = readOffset(file, at + 32, name);
  checkRange(file.length, offset, size, name);
  return { offset, size, link };
}

/** Reads the versions that the file needs of libc: version name to index and place of the flags. */
function readLibcNeeds(file, section, names) {
  const found = new Map();
  const end = section.offset + section.size;
  let at = section.offset;
  for (;;) {
    checkRange(end, at, VERNEED_BYTES, '.gnu.version_r');
    if (readName(file, names, file.readUInt32LE(at + 4)) === LIBC) readNeed(file, { at, end }, names, found);
    const next = file.readUInt32LE(at + 12);
    if (next === 0) return found;
    at += next;
  }
}

function readNeed(file, { at, end }, names, found) {
  const count = file.readUInt16LE(at + 2);
  let auxAt = at + file.readUInt32LE(at + 8);
  for (let i = 0; i < count; i++) {
    checkRange(end, auxAt, VERNAUX_BYTES, '.gnu.version_r');
    const name = readName(file, names, file.readUInt32LE(auxAt + 8));
    found.set(name, { index: file.readUInt16LE(auxAt + 6) & 0x7fff, flagsOffset: auxAt + 4 });
    auxAt += file.readUInt32LE(auxAt + 12);
  }
}

function getNeed(needs, version) {
  const need = needs.get(version);
  if (need === undefined) throw new Error(`the file does not need ${version} of ${LIBC}`);
  return need;
}

function readName(file, names, nameOffset) {
  if (nameOffset >= names.size) throw new Error('malformed ELF: a name lies outside its string table');
  const start = names.offset + nameOffset;
  const end = file.indexOf(0, start);
  if (end < 0 || end >= names.offset + names.size) throw new Error('malformed ELF: a name does not end');
  return file.toString('latin1', start, end);
}

function readOffset(file, at, what) {
  const value = file.readBigUInt64LE(at);
  if (value > BigInt(file.length)) throw new Error(`malformed ELF: ${what} lies outside the file`);
  return Number(value);
}

function checkRange(end, offset, size, what) {
  if (offset + size > end) throw new Error(`malformed ELF: ${what} lies outside the file`);
}
