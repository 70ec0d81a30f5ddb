import type { JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import type { Clock } from './clock.ts';
import { isSallyportError, type SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';

/**
 * A provider's keys as strangers' tokens may ask for them: tokens make us ask a provider that fails again and again at
 * most every `jwksRetryMs` while there are no keys yet, and a `kid` that is unknown shortly after a failed read counts
 * as an outage, for the provider may have published it meanwhile: never as a wrong token.
 * @param keys throws SallyportError for an outage, and keeps the keys it once had (R-092).
 */
export function createBearerKeys(keys: JWTVerifyGetKey, clock: Clock): JWTVerifyGetKey {
  let failure: { readonly error: SallyportError; readonly at: number } | undefined;
  let hasKeys = false;
  const failedWithin = (ms: number): SallyportError | undefined =>
    failure !== undefined && clock.now() - failure.at < ms ? failure.error : undefined;
  return async (header, token) => {
    const paused = hasKeys ? undefined : failedWithin(LIMITS.jwksRetryMs);
    if (paused !== undefined) throw paused;
    try {
      const key = await keys(header, token);
      hasKeys = true;
      return key;
    } catch (error) {
      if (isSallyportError(error)) {
        failure = { error, at: clock.now() };
        throw error;
      }
      hasKeys = true;
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      throw failedWithin(LIMITS.jwksCooldownMs) ?? error;
    }
  };
}
