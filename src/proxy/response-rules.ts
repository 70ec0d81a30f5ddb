import type { HeaderPairs, OriginRules } from '../core/origin.ts';
import type { Replies } from '../core/problem.ts';
import type { CompiledRoute } from '../core/routes.ts';
import type { SiteRuntime } from '../core/sites.ts';
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
  const plans = new WeakMap<CompiledRoute, RoutePlan>();
  const planOf = (route: CompiledRoute, service: ServiceRuntime): RoutePlan => {
    let plan = plans.get(route);
    if (plan === undefined) {
      plan = compileRoute(route, service, origin.corsHeaders(undefined, ''));
      plans.set(route, plan);
    }
    return plan;
  };
  const hsts = new WeakMap<SiteRuntime, string>();
  const hstsOf = (site: SiteRuntime): string => {
    let lines = hsts.get(site);
    if (lines === undefined) {
      lines = linesOf(replies.commonHeaders(site).filter(([name]) => name === 'strict-transport-security'));
      hsts.set(site, lines);
    }
    return lines;
  };
  return ({ context, site, route }, service, cookies) => {
    const { cacheControl, vary, publicLocation } = planOf(route, service);
    let own = `\r\nx-request-id: ${context.requestId}${hstsOf(site)}`;
    if (context.origin !== '') {
      own += linesOf(origin.corsHeaders(site, context.origin).filter(([name]) => name !== 'vary'));
    }
    for (const value of cookies) own += `\r\nset-cookie: ${value}`;
    return {
      isOwnCookie,
      fate,
      cacheControl: cookies.length > 0 ? 'no-store' : cacheControl,
      vary,
      own,
      publicLocation,
    };
  };
}

/** What is the same in all answers of a route. */
type RoutePlan = Pick<ResponseRules, 'cacheControl' | 'vary' | 'publicLocation'>;

/** @param cors of a request without an origin: what answers depend on does not change with it. */
function compileRoute({ route }: CompiledRoute, { service }: ServiceRuntime, cors: HeaderPairs): RoutePlan {
  const { cacheControl, auth, rewrite } = route;
  const dependsOn = cors.filter(([name]) => name === 'vary').map(([, value]) => value);
  return {
    cacheControl,
    vary: dependsOn.reduce((list, line) => joinVary(list, line), auth === 'none' ? '' : 'cookie'),
    publicLocation: (location) => publicLocation(location, service.urls, rewrite),
  };
}

function linesOf(pairs: HeaderPairs): string {
  return pairs.map(([name, value]) => `\r\n${name}: ${value}`).join('');
}
