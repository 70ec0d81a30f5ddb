import { findSchemeToken } from './bearer.ts';
import type { RequestContext } from './context.ts';
import type { BearerResult, BearerTokens } from './services.ts';

/**
 * Who brings a token with this request: as `Bearer` (RFC 6750 §2.1), or as `DPoP` with a proof for this very request
 * (RFC 9449 §7.1). Undefined if it brings neither.
 * @param method of the original request, which is not the verify call's own.
 * @param host as the client named it.
 * @param target path and query as the client sent them: that is what its proof speaks of.
 */
export function askBearer(
  bearer: BearerTokens,
  context: RequestContext,
  method: string,
  scheme: 'http' | 'https',
  host: string,
  target: string,
): BearerResult | Promise<BearerResult> | undefined {
  const { authorization, dpop: proof } = context;
  if (authorization === '') return undefined;
  const token = findSchemeToken(authorization, 'bearer');
  if (token !== undefined) return bearer.check(token, context);
  const bound = findSchemeToken(authorization, 'dpop');
  if (bound === undefined) return undefined;
  return bearer.checkBound({ token: bound, proof, method, scheme, host, target }, context);
}
