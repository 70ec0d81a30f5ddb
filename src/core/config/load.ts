import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type * as z from 'zod';
import { type CheckedFile, checkFile } from './checked-file.ts';
import { compileConfig } from './compile/config.ts';
import { parseFile } from './parse.ts';
import { ConfigError, createReport, type Report, sortProblems } from './problem.ts';
import { type ReadFile, readFileBounded } from './read-file.ts';
import { idpsSchema } from './schema/idps.ts';
import { pdpSchema } from './schema/pdp.ts';
import { routesSchema } from './schema/routes.ts';
import { settingsSchema } from './schema/settings.ts';
import type { Tree } from './tree.ts';
import type { Config } from './types.ts';

export { ConfigError } from './problem.ts';

/** Where the configuration comes from. */
export type LoadOptions = {
  /** The directory with settings.yaml, idps.yaml, routes.yaml, pdp.yaml. */
  readonly directory: string;
  /** What `${NAME}` refers to. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** How files are read, the four and those they name; default: from the file system, bounded. */
  readonly readFile?: ReadFile;
};

const CONFIG_FILE_MAX_BYTES = 1_048_576;
const FILES = ['settings.yaml', 'idps.yaml', 'routes.yaml', 'pdp.yaml'] as const;

/**
 * Read, replace, check and compile the configuration (SPEC §14): one frozen value in base units.
 * settings.yaml and idps.yaml must exist; without routes.yaml the proxy serves nothing.
 * @throws ConfigError with every problem of every file at once; nothing else.
 */
export function loadConfig(options: LoadOptions): Config {
  const { directory, environment, readFile = readFileBounded } = options;
  const report = createReport();
  const loaded = new Map<string, string>();
  const check = <Schema extends z.ZodObject>(
    file: (typeof FILES)[number],
    schema: Schema,
  ): CheckedFile<Schema> | undefined => {
    const text = readText(file, directory, readFile, report, loaded);
    if (text === undefined) return undefined;
    const tree = parseFile(file, text, { environment, readFile }, report);
    return tree === undefined ? undefined : checkFile(file, schema, tree, report);
  };
  const settings = check('settings.yaml', settingsSchema) ?? nothing('settings.yaml', settingsSchema);
  const idps = check('idps.yaml', idpsSchema) ?? nothing('idps.yaml', idpsSchema);
  const routes = check('routes.yaml', routesSchema) ?? nothing('routes.yaml', routesSchema);
  check('pdp.yaml', pdpSchema);
  const parts = compileConfig({ settings, idps, routes, directory, readFile });
  if (parts === undefined || report.problems.length > 0) throw new ConfigError(sortProblems(report.problems, FILES));
  const files = [...loaded].map(([name, sha256]) => ({ name, sha256 }));
  return freezeDeep({ ...parts, files, warnings: report.warnings });
}

/** The text of one file; `version: 1` alone for an optional one that is absent. */
function readText(
  file: (typeof FILES)[number],
  directory: string,
  readFile: ReadFile,
  report: Report,
  loaded: Map<string, string>,
): string | undefined {
  const read = readFile(join(directory, file), CONFIG_FILE_MAX_BYTES);
  if (read.bytes === undefined) {
    const optional = file === 'routes.yaml' || file === 'pdp.yaml';
    if (read.absent && optional) return 'version: 1';
    addAtStart(
      report,
      file,
      `the file ${read.problem}, expected a readable file, create it or name another directory with --config`,
    );
    return undefined;
  }
  loaded.set(file, createHash('sha256').update(read.bytes).digest('hex'));
  const text = read.bytes.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(read.bytes)) return text.replace(/^\ufeff/, '');
  addAtStart(report, file, 'the file is not UTF-8, expected UTF-8 text, save it as UTF-8');
  return undefined;
}

function addAtStart(report: Report, file: string, message: string): void {
  report.problems.push({ file, line: 1, column: 1, path: '', message });
}

/** Stands for a file that could not be read: no sections, and no further complaints about what it lacks. */
function nothing<Schema extends z.ZodObject>(file: string, schema: Schema): CheckedFile<Schema> {
  const empty: Tree = { kind: 'map', place: { line: 1, column: 1 }, entries: new Map() };
  const checked = checkFile(file, schema, empty, createReport());
  return { ...checked, sections: {} as CheckedFile<Schema>['sections'], fail: () => undefined, warn: () => undefined };
}

/** Freeze a value and all it holds; key bytes and key objects stay as they are. */
function freezeDeep<Value>(value: Value): Value {
  const isData =
    typeof value === 'object' &&
    value !== null &&
    (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype);
  if (!isData) return value;
  for (const inner of Object.values(value)) freezeDeep(inner);
  return Object.freeze(value);
}
