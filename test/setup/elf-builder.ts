/** Builds the smallest ELF64 file that has what relinking reads: dynamic symbols, their versions, and needed versions. */

/** One dynamic symbol; `version` is a version index, `defined` puts it into a section. */
export interface ElfSymbol {
  readonly name: string;
  readonly version: number;
  readonly defined?: boolean;
}

/** One needed library with its versions: name to index. */
export interface ElfNeed {
  readonly library: string;
  readonly versions: Readonly<Record<string, number>>;
}

/** What to build; machine 62 is x86-64. */
export interface ElfPlan {
  readonly machine?: number;
  readonly symbols: readonly ElfSymbol[];
  readonly needs: readonly ElfNeed[];
}

/** Places in the built file, for tests that look at it or break it. */
export interface BuiltElf {
  readonly file: Buffer;
  /** Offsets of the sections .dynstr, .dynsym, .gnu.version, .gnu.version_r and of the section header table. */
  readonly at: { names: number; symbols: number; versions: number; needs: number; headers: number };
}

const SECTION = { names: 1, symbols: 2, versions: 3, needs: 4 };

/** Builds the file that `plan` describes. */
export function buildElf(plan: ElfPlan): BuiltElf {
  const names = new NameTable();
  const symbols = Buffer.concat(plan.symbols.map((symbol) => buildSymbol(symbol, names)));
  const versions = Buffer.alloc(plan.symbols.length * 2);
  for (const [i, { version }] of plan.symbols.entries()) versions.writeUInt16LE(version, i * 2);
  const needs = Buffer.concat(plan.needs.map((need, i) => buildNeed(need, names, i === plan.needs.length - 1)));
  const chunks = [Buffer.alloc(64), names.bytes(), symbols, versions, needs];
  const offsets = chunks.map((_, i) => chunks.slice(0, i).reduce((sum, chunk) => sum + chunk.length, 0));
  const [, namesAt = 0, symbolsAt = 0, versionsAt = 0, needsAt = 0] = offsets;
  const headersAt = needsAt + needs.length;
  const headers = Buffer.concat([
    buildHeader(0, 0, 0, 0),
    buildHeader(3, namesAt, names.bytes().length, 0),
    buildHeader(11, symbolsAt, symbols.length, SECTION.names),
    buildHeader(0x6fffffff, versionsAt, versions.length, SECTION.symbols),
    buildHeader(0x6ffffffe, needsAt, needs.length, SECTION.names),
  ]);
  const file = Buffer.concat([...chunks, headers]);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]).copy(file);
  file.writeUInt16LE(plan.machine ?? 62, 18);
  file.writeBigUInt64LE(BigInt(headersAt), 40);
  file.writeUInt16LE(64, 58);
  file.writeUInt16LE(5, 60);
  return { file, at: { names: namesAt, symbols: symbolsAt, versions: versionsAt, needs: needsAt, headers: headersAt } };
}

/** Reads the symbols back: name and version index. */
export function readSymbols(file: Buffer, { at }: BuiltElf, count: number): { name: string; version: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const start = at.names + file.readUInt32LE(at.symbols + i * 24);
    return {
      name: file.toString('latin1', start, file.indexOf(0, start)),
      version: file.readUInt16LE(at.versions + i * 2),
    };
  });
}

class NameTable {
  private text = '\0';

  add(name: string): number {
    const at = this.text.length;
    this.text += `${name}\0`;
    return at;
  }

  bytes(): Buffer {
    return Buffer.from(this.text, 'latin1');
  }
}

function buildSymbol({ name, defined }: ElfSymbol, names: NameTable): Buffer {
  const bytes = Buffer.alloc(24);
  bytes.writeUInt32LE(names.add(name), 0);
  bytes.writeUInt16LE(defined ? 1 : 0, 6);
  return bytes;
}

function buildNeed({ library, versions }: ElfNeed, names: NameTable, isLast: boolean): Buffer {
  const entries = Object.entries(versions);
  const head = Buffer.alloc(16);
  head.writeUInt16LE(1, 0);
  head.writeUInt16LE(entries.length, 2);
  head.writeUInt32LE(names.add(library), 4);
  head.writeUInt32LE(16, 8);
  head.writeUInt32LE(isLast ? 0 : 16 + entries.length * 16, 12);
  const rows = entries.map(([version, index], i) => {
    const row = Buffer.alloc(16);
    row.writeUInt16LE(index, 6);
    row.writeUInt32LE(names.add(version), 8);
    row.writeUInt32LE(i === entries.length - 1 ? 0 : 16, 12);
    return row;
  });
  return Buffer.concat([head, ...rows]);
}

function buildHeader(type: number, offset: number, size: number, link: number): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(type, 4);
  bytes.writeBigUInt64LE(BigInt(offset), 24);
  bytes.writeBigUInt64LE(BigInt(size), 32);
  bytes.writeUInt32LE(link, 40);
  return bytes;
}
