import { isAbsolute } from 'node:path';
import { say } from './problem.ts';
import type { ReadFile } from './read-file.ts';

/** What a scalar may refer to. */
export type References = {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly readFile: ReadFile;
};

/** A scalar after replacement. */
export type Interpolation = {
  /** The replaced text; undefined if a reference could not be resolved. */
  readonly text: string | undefined;
  /** The expressions without defaults, as they may be printed. */
  readonly expressions: readonly string[];
  /** True if the scalar was exactly one expression. */
  readonly pure: boolean;
  readonly hasDefault: boolean;
  /** Complete messages, one for each reference that failed. */
  readonly problems: readonly string[];
};

/** Largest file that `${file:…}` reads: secrets and keys are small. */
const SECRET_FILE_MAX_BYTES = 65_536;
const TOKEN = /\$\$\{|\$\{([^}]*)\}|\$\{/g;
const NAME = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * Replace `${NAME}`, `${NAME:-default}` (unset or empty takes the default) and `${file:/path}` (its final newline
 * dropped) in one parsed scalar; `$${` is a literal `${`. Never recursive: a replaced text is not looked at again.
 */
export function interpolate(text: string, references: References): Interpolation {
  const expressions: string[] = [];
  const problems: string[] = [];
  let hasDefault = false;
  const replaced = text.replace(TOKEN, (token: string, body: string | undefined) => {
    if (token === '$${') return '${';
    const result = resolve(body, references);
    expressions.push(result.expression);
    hasDefault ||= result.hasDefault;
    if ('problem' in result) problems.push(result.problem);
    return 'value' in result ? result.value : '';
  });
  return {
    text: problems.length > 0 ? undefined : replaced,
    expressions,
    pure: expressions.length === 1 && /^\$\{[^}]*\}$/.test(text),
    hasDefault,
    problems,
  };
}

type Resolved = { readonly expression: string; readonly hasDefault: boolean } & (
  | { readonly value: string }
  | { readonly problem: string }
);

function resolve(body: string | undefined, references: References): Resolved {
  if (body?.startsWith('file:')) return resolveFile(body.slice('file:'.length), references.readFile);
  const match = body === undefined ? null : NAME.exec(body);
  const [, name, fallback] = match ?? [];
  if (name === undefined || fallback?.includes('${')) {
    const message = say(
      'a "${" begins no reference',
      '${NAME}, ${NAME:-default} or ${file:/path}',
      'correct it, or write $${ for a literal "${"',
    );
    return { expression: '${…}', hasDefault: false, problem: message };
  }
  const expression = `\${${name}}`;
  // Own properties only: `${constructor}` must not find anything.
  const value = Object.hasOwn(references.environment, name) ? references.environment[name] : undefined;
  const hasDefault = fallback !== undefined && fallback !== '';
  if (fallback !== undefined) return { expression, hasDefault, value: value || fallback };
  if (value !== undefined) return { expression, hasDefault, value };
  const message = say(`${expression} is not set`, `an environment variable of that name`, `set ${name}`);
  return { expression, hasDefault, problem: message };
}

function resolveFile(path: string, readFile: ReadFile): Resolved {
  const expression = `\${file:${path}}`;
  const failed = (problem: string, fix: string): Resolved => {
    return { expression, hasDefault: false, problem: say(problem, 'a readable text file', fix) };
  };
  if (!isAbsolute(path)) return failed(`${expression} has no absolute path`, 'write the path from the root');
  const file = readFile(path, SECRET_FILE_MAX_BYTES);
  if (file.bytes === undefined) return failed(`${expression} ${file.problem}`, 'create the file or correct its path');
  const text = file.bytes.toString('utf8');
  if (text.includes('\ufffd') || text.includes('\0')) return failed(`${expression} is not text`, 'name a text file');
  return { expression, hasDefault: false, value: text.replace(/\r?\n$/, '') };
}
