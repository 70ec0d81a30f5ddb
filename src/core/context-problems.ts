// hot: bench/context.ts
import { isCleanTarget } from './path.ts';

/** Framing that two parsers could read differently (SECURITY §3.2): refused before any side effect. */
export const PROBLEM_FRAMING = 1;
/** A method outside the closed list, or not in upper case. */
export const PROBLEM_METHOD = 2;
/** Controls, `#`, `\` or non-ASCII in the request target. */
export const PROBLEM_TARGET = 4;
/** A header of the gateway's family came more than once (D-03). */
export const PROBLEM_FORWARDED = 8;
/** A single-valued header (Host, Authorization, Origin, …) came more than once. */
export const PROBLEM_DUPLICATE = 16;
/** The target exceeds limits.target_bytes. */
export const PROBLEM_TARGET_LENGTH = 32;

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** PROBLEM_* bits of a request line. */
export function findLineProblems(method: string, path: string, query: string, targetMaxBytes: number): number {
  // Most are: comparing is cheaper than hashing a string that was just made.
  const problem = method === 'GET' || METHODS.has(method) ? 0 : PROBLEM_METHOD;
  if (path.length + query.length > targetMaxBytes) return problem | PROBLEM_TARGET_LENGTH;
  return isCleanTarget(path) && isCleanTarget(query) ? problem : problem | PROBLEM_TARGET;
}
