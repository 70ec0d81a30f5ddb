/** What a command talks to; tests give their own. */
export type CliIo = {
  /** Write text to standard output, line ends included. */
  stdout(text: string): void;
  /** Write text to standard error, line ends included. */
  stderr(text: string): void;
  readonly environment: Readonly<Record<string, string | undefined>>;
};

/** Exit codes of the commands (sysexits.h for the configuration). */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  /** EX_CONFIG: the configuration has problems (SPEC §14). */
  config: 78,
} as const;
