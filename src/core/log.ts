import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogSettings } from './config/types.ts';

/** The process's structured log. */
export type { Logger } from 'pino';

// Belt and braces: no code path logs these, and if one ever does, the value does not leave.
const SECRET_MEMBERS = [
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
];

/**
 * Create the log: JSON lines with ISO time, level names, and redaction of every secret's usual name.
 * @param destination where lines go; standard output by default.
 */
export function createLog(settings: Pick<LogSettings, 'level'>, destination?: DestinationStream): Logger {
  const paths = SECRET_MEMBERS.flatMap((name) => [bracket('', name), bracket('*', name), bracket('*.*', name)]);
  const options = {
    level: settings.level,
    base: { service: 'sallyport' },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths, censor: '[redacted]' },
    serializers: { err: serialiseError },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

/** Name, code, message and stack of an error and its causes. No further members: dependencies put secrets there. */
export function serialiseError(error: unknown): unknown {
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

function bracket(prefix: string, name: string): string {
  const member = /^[a-z_]+$/.test(name) ? name : `["${name}"]`;
  if (prefix === '') return member;
  return member.startsWith('[') ? `${prefix}${member}` : `${prefix}.${member}`;
}
