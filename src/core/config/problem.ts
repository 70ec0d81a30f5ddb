/** Keys and indexes from the root of a file to one place in it. */
export type Path = readonly (string | number)[];

/** One finding that stops the start. */
export type ConfigProblem = {
  /** Name of the file inside the configuration directory. */
  readonly file: string;
  /** First line is 1. */
  readonly line: number;
  /** First column is 1. */
  readonly column: number;
  /** Dotted path of the key; empty for the file as a whole. */
  readonly path: string;
  /** What is wrong, what was expected, how to fix it. Never holds a secret. */
  readonly message: string;
};

/** The configuration cannot be used. Holds every problem that was found, in file order; exit code 78. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(`the configuration has ${problems.length} problem${problems.length === 1 ? '' : 's'}`);
    this.name = 'ConfigError';
    this.problems = problems;
  }

  /** One line each: `file:line:column path: problem, what was expected, how to fix` (SPEC §14). */
  format(): string {
    return this.problems.map(formatProblem).join('\n');
  }
}

/** Where the steps of loading put what they find. */
export type Report = {
  readonly problems: ConfigProblem[];
  readonly warnings: string[];
};

/** An empty report. */
export function createReport(): Report {
  return { problems: [], warnings: [] };
}

/** Text of a path: `keys.seal[0].secret`; a key that is not a plain word stands in quotes, cut to 40 characters. */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += `${text === '' ? '' : '.'}${/^[\w-]+$/.test(step) ? step : quote(step, 40)}`;
  }
  return text;
}

/** True if `path` is `above` or lies inside it. */
export function isAtOrBelowPath(path: Path, above: Path): boolean {
  return above.every((step, index) => path[index] === step);
}

/** A value as it may be printed: JSON quotes, cut to `maxChars`, user information of a URL masked. */
export function quote(value: string, maxChars = 80): string {
  const masked = value.replace(/(:\/\/)[^@]*@/g, '$1***@');
  return JSON.stringify(masked.length > maxChars ? `${masked.slice(0, maxChars)}…` : masked);
}

/** The one shape of a message. */
export function say(problem: string, expected: string, fix: string): string {
  return `${problem}, expected ${expected}, ${fix}`;
}

/** Problems by file (in the given order), line and column, without repetitions. */
export function sortProblems(problems: readonly ConfigProblem[], files: readonly string[]): ConfigProblem[] {
  const seen = new Set<string>();
  const single = problems.filter((problem) => {
    const text = formatProblem(problem);
    return seen.has(text) ? false : seen.add(text);
  });
  return single.sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column);
}

function formatProblem(problem: ConfigProblem): string {
  const where = `${problem.file}:${problem.line}:${problem.column}`;
  return problem.path === '' ? `${where}: ${problem.message}` : `${where} ${problem.path}: ${problem.message}`;
}
