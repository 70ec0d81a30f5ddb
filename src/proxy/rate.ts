import { addressGroup } from '../core/address.ts';
import { clientIpOf } from '../core/app-log.ts';
import type { KeyedRateLimit } from '../core/config/types-rate.ts';
import { createLocalLimiter, type RateLimiter, shareOf, spend } from '../core/rate-limit.ts';
import type { Session } from '../core/services.ts';
import type { VerifyServices } from '../core/verify.ts';
import { countWorkers } from '../core/workers.ts';
import { type Asked, authorize, type Verdict } from './authorize.ts';

/** Authorization within the rate limits of routes; for routes without one nothing but `authorize`. */
export type LimitedAuthorize = (asked: Asked) => Verdict | Promise<Verdict>;

type Limited = { readonly key: KeyedRateLimit['key']; readonly limiter: RateLimiter };

/**
 * Compile the rate limits of routes, the share of this process of each (D-43). An address is counted before anything
 * else is looked at; sessions and users are counted when they may pass, and strangers in their place by address.
 * The result throws what `authorize` throws, and `rate_limited`.
 */
export function compileLimitedAuthorize(services: VerifyServices): LimitedAuthorize {
  const workers = countWorkers(services.config);
  const limits = new Map<string, Limited>();
  for (const { id, rateLimit } of services.config.routes) {
    if (rateLimit === undefined) continue;
    limits.set(id, { key: rateLimit.key, limiter: createLocalLimiter(shareOf(rateLimit, workers)) });
  }
  if (limits.size === 0) return (asked) => authorize(asked, services);
  return (asked) => {
    const limited = limits.get(asked.route.route.id);
    return limited === undefined ? authorize(asked, services) : authorizeWithin(asked, services, limited);
  };
}

async function authorizeWithin(asked: Asked, services: VerifyServices, { key, limiter }: Limited): Promise<Verdict> {
  const what = `route ${asked.route.route.id}`;
  const address = `address ${addressGroup(clientIpOf(services, asked.context))}`;
  if (key === 'client_ip') {
    await spend(limiter, address, what);
    return authorize(asked, services);
  }
  const verdict = await authorize(asked, services);
  if (verdict.kind === 'pass') await spend(limiter, callerOf(verdict.session, key) ?? address, what);
  return verdict;
}

/** Whoever brings a bearer token has no session and is counted as the user. */
function callerOf(session: Session | undefined, key: 'session' | 'user'): string | undefined {
  if (session === undefined) return undefined;
  if (key === 'session' && session.publicId !== '') return `session ${session.publicId}`;
  const { issuer, subject } = session.hot.principal;
  return `user ${issuer} ${subject}`;
}
