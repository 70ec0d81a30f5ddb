import type { OriginRules } from '../core/origin.ts';
import type { Replies } from '../core/problem.ts';
import type { Asked } from './authorize.ts';
import type { OwnCookieTest } from './cookie-names.ts';
import type { ServiceRuntime } from './http-pools.ts';
import { createResponseFate, joinVary, type ResponseRules } from './response-headers.ts';
import { publicLocation } from './target.ts';

/**
 * Makes what an answer to one request has to keep to.
 * @param cookies `Set-Cookie` values of ours; an answer that has any is for nobody else.
 */
export type ResponseRulesMaker = (asked: Asked, service: ServiceRuntime, cookies: readonly string[]) => ResponseRules;

/** Compile the rules of a configuration. */
export function compileResponseRules({
  origin,
  replies,
  isOwnCookie,
}: {
  readonly origin: OriginRules;
  readonly replies: Replies;
  readonly isOwnCookie: OwnCookieTest;
}): ResponseRulesMaker {
  const fate = createResponseFate();
  return ({ context, site, route }, service, cookies) => {
    const { cacheControl, auth, rewrite } = route.route;
    let vary = auth === 'none' ? '' : 'cookie';
    const own: (readonly [string, string])[] = [['x-request-id', context.requestId]];
    for (const field of replies.commonHeaders(site)) if (field[0] === 'strict-transport-security') own.push(field);
    for (const field of origin.corsHeaders(site, context.origin)) {
      if (field[0] === 'vary') vary = joinVary(vary, field[1]);
      else own.push(field);
    }
    for (const value of cookies) own.push(['set-cookie', value]);
    return {
      isOwnCookie,
      fate,
      cacheControl: cookies.length > 0 ? 'no-store' : cacheControl,
      vary,
      own,
      publicLocation: (location) => publicLocation(location, service.service.urls, rewrite),
    };
  };
}
