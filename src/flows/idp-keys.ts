import type { JSONWebKeySet, JWTVerifyGetKey } from 'jose';
import * as errors from 'jose/errors';
import { createLocalJWKSet } from 'jose/jwks/local';
import type { Clock } from '../core/clock.ts';
import type { Idp } from '../core/config/types.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { OutboundFetch } from '../core/outbound.ts';

/** What the keys of a provider are read with. */
export type IdpKeysOptions = {
  readonly idp: Idp;
  readonly clock: Clock;
  readonly fetch: OutboundFetch;
  /** `jwks_uri`, once metadata is there. */
  findUri(): string | undefined;
};

/**
 * The provider's signing keys (RFC 7517), read at first use. Read again when they are as old as metadata may become,
 * and for an unknown `kid` at most once per cool-down; logins that meet an unknown `kid` meanwhile wait for that one
 * request. Where reading again fails, the keys that are there stay.
 * @returns a resolver for jose. @throws idp_unavailable, idp_bad_response or service_timeout without any keys yet.
 */
export function createIdpKeys({ idp, clock, fetch, findUri }: IdpKeysOptions): JWTVerifyGetKey {
  let remote: { readonly uri: string; readonly keys: JWTVerifyGetKey } | undefined;
  return (header, token) => {
    const uri = findUri();
    if (uri === undefined) throw new SallyportError('idp_unavailable', { detail: `no keys of ${idp.issuer} yet` });
    if (remote?.uri !== uri) remote = { uri, keys: createRemoteKeys(uri, fetch, clock, idp.metadataRefreshMs) };
    return remote.keys(header, token);
  };
}

function createRemoteKeys(uri: string, fetch: OutboundFetch, clock: Clock, freshForMs: number): JWTVerifyGetKey {
  let current: JWTVerifyGetKey | undefined;
  let loading: Promise<JWTVerifyGetKey> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  let triedAgainAt = Number.NEGATIVE_INFINITY;
  const load = (): Promise<JWTVerifyGetKey> => {
    loading ??= fetchKeys(uri, fetch)
      .then((keys) => {
        current = keys;
        readAt = clock.now();
        return keys;
      })
      .finally(() => {
        loading = undefined;
      });
    return loading;
  };
  const mayTryAgain = (): boolean => {
    if (loading !== undefined) return true;
    if (clock.now() - triedAgainAt < LIMITS.jwksCooldownMs) return false;
    triedAgainAt = clock.now();
    return true;
  };
  /** A key that the provider has withdrawn must not be good for ever. */
  const findFresh = async (): Promise<JWTVerifyGetKey> => {
    const keys = current;
    if (keys === undefined) return load();
    if (clock.now() - readAt < freshForMs || !mayTryAgain()) return keys;
    return load().catch(() => keys);
  };
  return async (header, token) => {
    const keys = await findFresh();
    try {
      return await keys(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      if (current !== undefined && current !== keys) return current(header, token);
      if (!mayTryAgain()) throw error;
      return (await load())(header, token);
    }
  };
}

async function fetchKeys(uri: string, fetch: OutboundFetch): Promise<JWTVerifyGetKey> {
  const response = await fetch(uri, { headers: { accept: 'application/json, application/jwk-set+json' } });
  if (response.status !== 200) {
    throw new SallyportError('idp_bad_response', { detail: `the key set answered ${response.status}` });
  }
  try {
    const set = (await response.json()) as JSONWebKeySet;
    if (!Array.isArray(set.keys) || set.keys.length > LIMITS.jwksKeysMax) throw new TypeError('not a bounded key set');
    return createLocalJWKSet(set);
  } catch (error) {
    throw new SallyportError('idp_bad_response', { detail: 'the key set is not usable', cause: error });
  }
}
