import { type Clock, retryAfterOf } from '../core/clock.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { OutboundFetch } from '../core/outbound.ts';

type Endpoint = {
  /** Outages since the last answer. */
  failures: number;
  /** Nothing is sent before this time, ms since the epoch. */
  until: number;
};

/**
 * Spare a provider that is away, and the people who would wait for its deadline (D-06): after `breakerFailures` outages
 * of one endpoint in a row its calls fail at once for `breakerPauseMs`; then one call finds out, and an answer lets all
 * through again. An outage is no connection, no answer in time, or a 5xx; what else it answers counts as an answer.
 * Endpoints stand alone, so that a broken UserInfo does not stop token calls.
 * @throws idp_unavailable while it pauses, with the seconds that are left; nothing was sent then
 */
export function withBreaker(fetch: OutboundFetch, clock: Clock): OutboundFetch {
  const endpoints = new Map<string, Endpoint>();
  return async (url, init) => {
    const { origin, pathname } = new URL(url);
    const endpoint = findEndpoint(endpoints, origin + pathname);
    pass(endpoint, clock.now(), pathname);
    try {
      const response = await fetch(url, init);
      note(endpoint, response.status >= 500, clock.now());
      return response;
    } catch (error) {
      note(endpoint, isOutage(error), clock.now());
      throw error;
    }
  };
}

/** A provider has a handful; a change of its metadata may bring others. */
function findEndpoint(endpoints: Map<string, Endpoint>, key: string): Endpoint {
  const known = endpoints.get(key);
  if (known !== undefined) return known;
  if (endpoints.size >= LIMITS.breakerEndpointsMax) endpoints.clear();
  const endpoint = { failures: 0, until: 0 };
  endpoints.set(key, endpoint);
  return endpoint;
}

function pass(endpoint: Endpoint, now: number, pathname: string): void {
  if (endpoint.failures < LIMITS.breakerFailures) return;
  if (now < endpoint.until) {
    const retryAfterS = retryAfterOf(endpoint.until - now);
    throw new SallyportError('idp_unavailable', { detail: `${pathname} is away, nothing was sent`, retryAfterS });
  }
  // This call is the one that finds out; the others go on waiting for what it finds.
  endpoint.until = now + LIMITS.breakerPauseMs;
}

function note(endpoint: Endpoint, isFailure: boolean, now: number): void {
  endpoint.failures = isFailure ? endpoint.failures + 1 : 0;
  if (isFailure) endpoint.until = now + LIMITS.breakerPauseMs;
}

function isOutage(error: unknown): boolean {
  return isSallyportError(error) && (error.code === 'idp_unavailable' || error.code === 'service_timeout');
}
