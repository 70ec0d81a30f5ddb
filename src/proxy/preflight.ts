import type { RequestContext } from '../core/context.ts';
import { SallyportError } from '../core/errors.ts';
import type { OriginRules } from '../core/origin.ts';
import type { SiteRuntime } from '../core/sites.ts';
import type { RequestHeaderRules } from './request-headers.ts';

const PREFLIGHT_HEADERS_MAX = 64;

/**
 * Headers of the answer to a preflight. Preflights are ours to answer, for known and unknown paths alike, so that
 * scripts can read the error that follows.
 * @throws origin_not_allowed for an origin that is not listed and for headers that clients must not send; bad_request.
 */
export function preflightHeaders(
  { origin, requestHeaders }: { readonly origin: OriginRules; readonly requestHeaders: RequestHeaderRules },
  site: SiteRuntime,
  context: RequestContext,
): ReturnType<OriginRules['corsHeaders']> {
  const headers = origin.preflightHeaders(site, context);
  if (headers === undefined) throw new SallyportError('origin_not_allowed', { detail: 'preflight' });
  const asked = context.corsHeaders === '' ? [] : context.corsHeaders.split(',', PREFLIGHT_HEADERS_MAX + 1);
  if (asked.length > PREFLIGHT_HEADERS_MAX)
    throw new SallyportError('bad_request', { detail: 'preflight for too many headers' });
  // Authorization never reaches a service either, but asking for it is honest; identities are not a client's to state.
  const forbidden = asked.find(
    (name) => name.trim().toLowerCase() !== 'authorization' && requestHeaders.isRefused(name.trim()),
  );
  if (forbidden !== undefined)
    throw new SallyportError('origin_not_allowed', { detail: 'preflight for a header that clients must not send' });
  return headers;
}
