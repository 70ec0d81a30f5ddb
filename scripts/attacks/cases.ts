import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** How binding an expectation is: `must` for every safe implementation, `policy` where the standards leave a choice. */
export type Tier = 'must' | 'policy';

/** One attack case as its file spells it; the members beyond the common ones belong to the family. */
export type AttackCase = {
  readonly id: string;
  readonly tier: Tier;
  readonly input: unknown;
  readonly expect: unknown;
  readonly why: string;
  readonly [member: string]: unknown;
};

/** All cases of one family found in a folder, in the order of the files. */
export type AttackFile = { readonly file: string; readonly family: Family; readonly cases: readonly AttackCase[] };

/** A folder, file or case that cannot be read as attack cases. The message names the place. */
export class MalformedAttacks extends Error {}

/** Families by the prefix of their case ids, for files that are not named after their family. */
const FAMILY_BY_PREFIX = {
  OR: 'open_redirect',
  CK: 'cookies',
  FH: 'forwarded_headers',
  PC: 'path_confusion',
  JW: 'jwt',
  CB: 'callback',
  CS: 'csrf_cors',
  CC: 'csrf_cors',
  HF: 'http_framing',
} as const;

/** What the cases of a file attack. */
export type Family = (typeof FAMILY_BY_PREFIX)[keyof typeof FAMILY_BY_PREFIX];

/** Every family that the attack files know. */
export const KNOWN_FAMILIES: readonly Family[] = [...new Set(Object.values(FAMILY_BY_PREFIX))];

/** Members that every case has and no family has to interpret. */
export const COMMON_MEMBERS: ReadonlySet<string> = new Set(['id', 'input', 'expect', 'why', 'source', 'tier', 'note']);

/**
 * Read every `*.json` of a folder. The family is the file's name if that is one, else what the case ids say.
 * @throws MalformedAttacks for a missing folder, a folder without files, bad JSON, and cases without their members.
 */
export function readAttackFolder(folder: string): AttackFile[] {
  const names = listJsonFiles(folder);
  if (names.length === 0) throw new MalformedAttacks(`${folder}: no *.json file here`);
  return names.map((name) => readAttackFile(folder, name));
}

function listJsonFiles(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .sort();
  } catch (error) {
    throw new MalformedAttacks(`${folder}: cannot be read as a folder (${(error as NodeJS.ErrnoException).code})`);
  }
}

function readAttackFile(folder: string, name: string): AttackFile {
  const path = join(folder, name);
  const parsed = parseJson(path, readFileSync(path, 'utf8'));
  if (!Array.isArray(parsed)) throw new MalformedAttacks(`${path}: expected an array of cases`);
  const cases = parsed.map((value, index) => checkCase(value, `${path}[${index}]`));
  const seen = new Set<string>();
  for (const { id } of cases) {
    if (seen.has(id)) throw new MalformedAttacks(`${path}: the id ${id} occurs twice`);
    seen.add(id);
  }
  return { file: path, family: familyOf(name.slice(0, -'.json'.length), cases, path), cases };
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new MalformedAttacks(`${path}: not JSON (${(error as Error).message})`);
  }
}

function checkCase(value: unknown, place: string): AttackCase {
  if (!isObject(value)) throw new MalformedAttacks(`${place}: expected an object`);
  const { id, tier, why } = value;
  if (typeof id !== 'string' || id === '') throw new MalformedAttacks(`${place}.id: expected a non-empty string`);
  if (tier !== 'must' && tier !== 'policy')
    throw new MalformedAttacks(`${place} (${id}).tier: expected must or policy`);
  if (!('input' in value)) throw new MalformedAttacks(`${place} (${id}).input: missing`);
  if (!('expect' in value)) throw new MalformedAttacks(`${place} (${id}).expect: missing`);
  return {
    ...value,
    id,
    tier,
    input: value['input'],
    expect: value['expect'],
    why: typeof why === 'string' ? why : '',
  };
}

function familyOf(stem: string, cases: readonly AttackCase[], path: string): Family {
  const named = KNOWN_FAMILIES.find((family) => family === stem);
  if (named !== undefined) return named;
  const byPrefix: Readonly<Record<string, Family>> = FAMILY_BY_PREFIX;
  const families = new Set(cases.map(({ id }) => byPrefix[id.split('-')[0] ?? '']));
  const [only] = families;
  if (families.size === 1 && only !== undefined) return only;
  throw new MalformedAttacks(
    `${path}: neither the file name nor the case ids name one family (known: ${KNOWN_FAMILIES.join(', ')})`,
  );
}

/** True for a JSON object (not null, not an array). */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value as text, or a MalformedAttacks that names the place. */
export function expectText(value: unknown, place: string): string {
  if (typeof value !== 'string') throw new MalformedAttacks(`${place}: expected a string`);
  return value;
}

/** The value as an object, or a MalformedAttacks that names the place. */
export function expectObject(value: unknown, place: string): Record<string, unknown> {
  if (!isObject(value)) throw new MalformedAttacks(`${place}: expected an object`);
  return value;
}

/** What stands before and after the first separator (one character); nothing after it if there is none. */
export function splitOnce(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
