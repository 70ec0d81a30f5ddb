import type * as z from 'zod';
import { formatPath, type Path, type Report, say } from './problem.ts';
import { childSchema, definitionOf, infoOf, isNullable, optionsOf } from './schema/walk.ts';
import type { Scalar, Tree } from './tree.ts';

/** Plain data of one file, ready for the schema. */
export type Shaped = {
  readonly data: unknown;
  /** Places whose value could not be had; they were reported and are absent from `data`. */
  readonly broken: readonly Path[];
};

type Context = { readonly file: string; readonly report: Report; readonly broken: Path[] };

/**
 * Turn a tree into plain data under the guidance of the schema: unknown keys are reported and left out, replaced
 * scalars take the schema's type (D-26), lists given as one text are split.
 */
export function shapeTree(file: string, schema: z.ZodType, tree: Tree, report: Report): Shaped {
  const context: Context = { file, report, broken: [] };
  return { data: shape(context, schema, tree, []), broken: context.broken };
}

function shape(context: Context, schema: z.ZodType | undefined, tree: Tree, path: Path): unknown {
  if (tree.kind === 'scalar') {
    if (tree.broken) context.broken.push(path);
    return tree.broken ? undefined : schema === undefined ? tree.value : shapeScalar(schema, tree);
  }
  if (tree.kind === 'list') {
    const element = schema && childSchema(schema, 0);
    return tree.items.map((item, index) => shape(context, element, item, [...path, index]));
  }
  const data: Record<string, unknown> = {};
  const former =
    schema &&
    optionsOf(schema)
      .map((option) => infoOf(option)?.former)
      .find((found) => found !== undefined);
  if (former?.keys.some((key) => tree.entries.has(key))) context.broken.push([...path, former.replacement]);
  for (const [key, { keyPlace, value }] of tree.entries) {
    const message = schema && keyProblem(schema, key, tree.entries);
    if (message !== undefined && message !== '') {
      const { line, column } = keyPlace;
      context.report.problems.push({ file: context.file, line, column, path: formatPath([...path, key]), message });
    }
    if (message !== undefined) continue;
    const child = shape(context, schema && childSchema(schema, key), value, [...path, key]);
    // Never `data[key] =`: a key called __proto__ would not become a key.
    if (child !== undefined)
      Object.defineProperty(data, key, { value: child, enumerable: true, writable: true, configurable: true });
  }
  return data;
}

/** What is wrong with the name of a key; empty = leave it out silently; undefined = nothing. */
function keyProblem(
  schema: z.ZodType,
  key: string,
  siblings: ReadonlyMap<string, { readonly value: Tree }>,
): string | undefined {
  const map = optionsOf(schema).find((option) => ['object', 'record'].includes(definitionOf(option).type));
  if (map === undefined) return undefined;
  const info = infoOf(map);
  const { shape: keys } = definitionOf(map);
  if (keys === undefined) {
    const allowed = info?.names === undefined || new RegExp(info.names).test(key);
    return allowed ? undefined : say('the name is not allowed', info?.namesExpected ?? 'another name', 'rename it');
  }
  if (Object.hasOwn(keys, key)) return undefined;
  const { former } = info ?? {};
  if (former?.keys.includes(key)) {
    const first = [...siblings.keys()].find((name) => former.keys.includes(name));
    return first === key ? former.sentence((name) => literal(siblings.get(name)?.value)) : '';
  }
  return unknownKey(key, Object.keys(keys));
}

/** The text of a value as it would have to be written again: expressions instead of what they stand for. */
function literal(tree: Tree | undefined): string | undefined {
  if (tree?.kind !== 'scalar') return undefined;
  if (tree.expressions.length > 0) return tree.expressions.join('');
  return String(tree.value)
    .replace(/:\/\/[^@]*@/, '://')
    .slice(0, 200);
}

function unknownKey(key: string, known: readonly string[]): string {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]/g, '');
  const ranked = known
    .map((name) => ({
      name,
      distance: plain(name) === plain(key) ? 0 : editDistance(name, key.slice(0, 64).toLowerCase()),
    }))
    .sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  if (best !== undefined && best.distance <= Math.max(1, Math.floor(best.name.length / 3))) {
    return say('unknown key', `"${best.name}"`, 'did you mean that? Correct the spelling or remove the line');
  }
  return say(
    'unknown key',
    known.length > 12 ? 'a key of docs/config.md' : `one of ${known.join(', ')}`,
    'remove the line',
  );
}

/** Levenshtein distance; both texts are short. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function shapeScalar(schema: z.ZodType, scalar: Scalar): unknown {
  const { value } = scalar;
  const options = optionsOf(schema);
  const types = new Set(options.map((option) => definitionOf(option).type));
  if (typeof value === 'number' && types.has('enum')) return String(value);
  if (typeof value !== 'string') return value;
  const separator = options.map((option) => infoOf(option)?.separator).find((found) => found !== undefined);
  if (separator !== undefined)
    return value
      .split(separator === 'comma' ? /[,\n]/ : /\s/)
      .map((item) => item.trim())
      .filter((item) => item !== '');
  if (scalar.expressions.length === 0) return value;
  if (value === '' && isNullable(schema)) return null;
  if ((types.has('number') || types.has('literal')) && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(value)) return Number(value);
  if (types.has('boolean') && (value === 'true' || value === 'false')) return value === 'true';
  return value;
}
