// hot: bench/reply.ts

import type { Problem, Reply } from './answer.ts';
import type { ErrorCode } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { HeaderPairs } from './origin.ts';
import { compileTemplate, type ReplyTemplate } from './reply-template.ts';

/** Composes the answer to a problem. @param readableBy the origin whose scripts may read it; empty = none. */
export type ProblemComposer = (problem: Problem, readableBy: string, requestId: string) => Reply;

type Variant = { readonly problem: Problem; readonly readableBy: string; readonly template: ReplyTemplate };

/**
 * Create the memory of refusals: those that differ in the request id alone are composed once. Of each code the last
 * `LIMITS.problemVariantsMax` kinds are kept, since callers have a say in some of what differs.
 */
export function createProblemVariants(
  compose: ProblemComposer,
): (problem: Problem, readableBy: string) => ReplyTemplate {
  const kept = new Map<ErrorCode, Variant[]>();
  return (problem, readableBy) => {
    let variants = kept.get(problem.code);
    if (variants === undefined) {
      variants = [];
      kept.set(problem.code, variants);
    }
    for (let at = 0; at < variants.length; at++) {
      const variant = variants[at] as Variant;
      if (variant.readableBy === readableBy && isSame(variant.problem, problem)) return variant.template;
    }
    const template = compileTemplate((requestId) => compose(problem, readableBy, requestId));
    if (variants.length >= LIMITS.problemVariantsMax) variants.shift();
    variants.push({ problem, readableBy, template });
    return template;
  };
}

/** Whether two problems of one code are answered alike. `service` is for the log. */
function isSame(a: Problem, b: Problem): boolean {
  return (
    a.site === b.site &&
    a.navigation === b.navigation &&
    a.detail === b.detail &&
    a.loginUrl === b.loginUrl &&
    a.retryAfterS === b.retryAfterS &&
    haveSameHeaders(a.headers, b.headers)
  );
}

function haveSameHeaders(a: HeaderPairs | undefined, b: HeaderPairs | undefined): boolean {
  if (a === b) return true;
  const length = a === undefined ? 0 : a.length;
  if (length !== (b === undefined ? 0 : b.length)) return false;
  for (let i = 0; i < length; i++) {
    if (a?.[i]?.[0] !== b?.[i]?.[0] || a?.[i]?.[1] !== b?.[i]?.[1]) return false;
  }
  return true;
}
