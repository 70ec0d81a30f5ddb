import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogSettings } from './config/types.ts';

/** The process's structured log. */
export type { Logger } from 'pino';

// Belt and braces: no code path logs these, and if one ever does, the value does not leave.
const SECRET_MEMBERS: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'set-cookie',
  'access_token',
  'refresh_token',
  'id_token',
  'id_token_hint',
  'authorization_code',
  'code_verifier',
  'state',
  'nonce',
  'client_secret',
  'client_assertion',
  'password',
  'handle',
  'secret',
  'token',
]);
const DEPTH_MAX = 3;

/**
 * Create the log: JSON lines with ISO time, level names, and redaction of every secret's usual name.
 * @param destination where lines go; standard output by default.
 */
export function createLog(settings: Pick<LogSettings, 'level'>, destination?: DestinationStream): Logger {
  const options = {
    level: settings.level,
    base: { service: 'sallyport' },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }), log: hideSecrets },
    serializers: { err: serialiseError },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Name, code, message and stack of an error and its causes. No further members: dependencies put secrets there. */
function serialiseError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: typeof error };
  const code = (error as Error & { code?: unknown }).code;
  return {
    type: error.name,
    message: error.message.slice(0, 500),
    ...(typeof code === 'string' ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack.split('\n').slice(1, 8).join('\n') }),
    ...(error.cause === undefined ? {} : { cause: serialiseError(error.cause) }),
  };
}

/**
 * The same object if it holds no member of a secret's name, else a copy that shows `[redacted]` there, three levels deep.
 * A walk of our own: pino's wildcard paths cost over 100 µs a line.
 */
function hideSecrets(object: Record<string, unknown>): Record<string, unknown> {
  return (hide(object, 1) ?? object) as Record<string, unknown>;
}

/** A copy without secrets, or undefined if there is nothing to hide. */
function hide(value: unknown, depth: number): unknown {
  if (value === null || typeof value !== 'object' || value instanceof Error || depth > DEPTH_MAX) return undefined;
  let copy: Record<string, unknown> | undefined;
  for (const [name, member] of Object.entries(value)) {
    const hidden = SECRET_MEMBERS.has(name) ? '[redacted]' : hide(member, depth + 1);
    if (hidden === undefined) continue;
    copy ??= { ...value };
    copy[name] = hidden;
  }
  return copy;
}
