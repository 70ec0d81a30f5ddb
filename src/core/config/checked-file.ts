import type * as z from 'zod';
import { findRefusals } from './availability.ts';
import { formatPath, isAtOrBelowPath, type Path, type Report, say } from './problem.ts';
import { definitionOf, infoOf, schemaAt, unwrap } from './schema/walk.ts';
import { shapeTree } from './shape.ts';
import { findTree, keyPlaceOf, placeOf, type Scalar, showValue, type Tree } from './tree.ts';

/** A list keeps its length when an item was refused: the item is undefined. */
type Lenient<Value> = Value extends readonly (infer Item)[] ? readonly (Item | undefined)[] : Value;

/** The sections of a file that passed its schema; a refused one is undefined, of a map of names the refused name is missing. */
export type Sections<Schema extends z.ZodObject> = {
  readonly [Key in keyof z.output<Schema>]: Lenient<z.output<Schema>[Key]> | undefined;
};

/** One file after its schema, with what later checks need to report in place. */
export type CheckedFile<Schema extends z.ZodObject> = {
  readonly file: string;
  readonly sections: Sections<Schema>;
  /** Report a problem at a path; `{value}` becomes the value as it may be printed. */
  fail(path: Path, problem: string, expected: string, fix: string): void;
  /** A finding that does not stop the start. */
  warn(path: Path, message: string): void;
  /** `settings.yaml:12:5`, of the key. */
  position(path: Path): string;
  /** Names below a path as written, whether they passed or not. */
  namesAt(path: Path): readonly string[];
  /** The scalar at a path as written. */
  scalarAt(path: Path): Scalar | undefined;
};

/** Check one parsed file against its schema and the list of what is not available; problems go to the report. */
export function checkFile<Schema extends z.ZodObject>(
  file: string,
  schema: Schema,
  root: Tree,
  report: Report,
): CheckedFile<Schema> {
  const { data, broken } = shapeTree(file, schema, root, report);
  const add = (path: Path, message: string, atKey: boolean): void => {
    const { line, column } = atKey ? keyPlaceOf(root, path) : placeOf(root, path);
    const at = schemaAt(schema, path);
    const shown = showValue(root, path, at !== undefined && infoOf(at)?.secret === true);
    report.problems.push({
      file,
      line,
      column,
      path: formatPath(path),
      message: message.replaceAll('{value}', () => shown),
    });
  };
  const refusals = findRefusals(file, data);
  for (const { path, message } of refusals) add(path, message, true);
  const silent = [...broken, ...refusals.map((refusal) => refusal.path)];
  const sections = parseSections(schema, data as Record<string, unknown>, broken, (path, message) => {
    if (!silent.some((above) => isAtOrBelowPath(path, above))) add(path, message, false);
  });
  const position = (path: Path): string => {
    const { line, column } = keyPlaceOf(root, path);
    return `${file}:${line}:${column}`;
  };
  return {
    file,
    sections,
    fail: (path, problem, expected, fix) => {
      if (!silent.some((above) => isAtOrBelowPath(path, above))) add(path, say(problem, expected, fix), false);
    },
    warn: (path, message) => report.warnings.push(`${position(path)} ${formatPath(path)}: ${message}`),
    position,
    namesAt: (path) => {
      const tree = findTree(root, path);
      return tree?.kind === 'map' ? [...tree.entries.keys()] : [];
    },
    scalarAt: (path) => {
      const tree = findTree(root, path);
      return tree?.kind === 'scalar' ? tree : undefined;
    },
  };
}

type Add = (path: Path, message: string) => void;

/** Section by section, and names and items one by one, so that a fault in one leaves the checks of the others alive. */
function parseSections<Schema extends z.ZodObject>(
  schema: Schema,
  data: Record<string, unknown>,
  broken: readonly Path[],
  add: Add,
): Sections<Schema> {
  const sections: Record<string, unknown> = {};
  for (const [key, section] of Object.entries(schema.shape as Record<string, z.ZodType>)) {
    const value = Object.hasOwn(data, key) ? data[key] : undefined;
    const result = section.safeParse(value);
    for (const issue of result.error?.issues ?? []) add([key, ...(issue.path as (string | number)[])], issue.message);
    const damaged = broken.some((path) => path[0] === key);
    sections[key] = result.success && !damaged ? result.data : parseParts(section, value, key, broken);
  }
  return sections as Sections<Schema>;
}

function parseParts(section: z.ZodType, value: unknown, key: string, broken: readonly Path[]): unknown {
  const { valueType, element } = definitionOf(unwrap(section));
  const parsePart = (schema: z.ZodType, part: unknown, name: string | number): unknown => {
    return broken.some((path) => path[0] === key && path[1] === name) ? undefined : schema.safeParse(part).data;
  };
  if (element !== undefined && Array.isArray(value)) return value.map((item, index) => parsePart(element, item, index));
  if (valueType === undefined || typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const parts = Object.entries(value).map(([name, part]) => [name, parsePart(valueType, part, name)] as const);
  return Object.fromEntries(parts.filter(([, part]) => part !== undefined));
}
