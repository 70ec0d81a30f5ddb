import * as oauth from 'oauth4webapi';
import { type DpopKey, generateDpopKey } from '../core/dpop-key.ts';
import { SallyportError } from '../core/errors.ts';
import { createProvingFetch, withNonce } from './dpop.ts';
import type { IdpRuntime } from './idp.ts';
import type { RequestOptions } from './idp-metadata.ts';

/** An address of a provider at which this client authenticates itself. */
export type ClientEndpoint = 'token' | 'par' | 'revocation' | 'introspection';

/** One call to such an address. */
export type ClientCall = {
  readonly endpoint: ClientEndpoint;
  /**
   * The form, without anything about the client: `grant_type` and what the grant needs for `token`, `token` for
   * `revocation` and `introspection`. A name may repeat (`resource`, RFC 8707).
   */
  readonly params: URLSearchParams | Readonly<Record<string, string>>;
  /** With it the call proves possession of the key, and tokens are bound to it (RFC 9449 §5). */
  readonly dpop?: DpopKey | undefined;
};

/**
 * The one way to ask a provider something as its client: authorization code, refresh, exchange and client credentials
 * grants, pushed authorization requests, revocation, introspection. Client authentication happens here, and the proof
 * of possession with one retry where the provider wants its nonce: such a call lasts up to two deadlines.
 * @returns the answer as it came; the caller has oauth4webapi read it.
 * @throws idp_unavailable, service_timeout and idp_bad_response as the outbound client says; OperationProcessingError
 * where the provider has no such endpoint.
 */
export async function callAsClient(runtime: IdpRuntime, call: ClientCall): Promise<Response> {
  const { requestOptions } = runtime;
  if (call.dpop === undefined) return send(runtime, call, requestOptions);
  const fetch = createProvingFetch({ ...runtime, nonces: runtime.dpopNonces, key: call.dpop });
  return withNonce(() => send(runtime, call, { ...requestOptions, [oauth.customFetch]: fetch }));
}

async function send(runtime: IdpRuntime, call: ClientCall, options: RequestOptions): Promise<Response> {
  const metadata = runtime.metadata();
  const client = runtime.client();
  const { clientAuth } = runtime;
  const params = new URLSearchParams(call.params);
  switch (call.endpoint) {
    case 'token': {
      const grant = params.get('grant_type') ?? '';
      return oauth.genericTokenEndpointRequest(metadata, client, clientAuth, grant, params, options);
    }
    case 'par':
      return oauth.pushedAuthorizationRequest(metadata, client, clientAuth, params, options);
    case 'revocation':
    case 'introspection': {
      const token = params.get('token') ?? '';
      const ask = call.endpoint === 'revocation' ? oauth.revocationRequest : oauth.introspectionRequest;
      return ask(metadata, client, clientAuth, token, { ...options, additionalParameters: params });
    }
  }
}

/** A new key for tokens that are asked for without a transaction; undefined where the provider's are not bound. */
export function dpopKeyFor({ idp }: IdpRuntime): DpopKey | undefined {
  return idp.dpop === 'require' ? generateDpopKey() : undefined;
}

/** The provider's metadata with the signatures of ID tokens that the configuration accepts, for reading token answers. */
export function tokenMetadata(runtime: IdpRuntime): oauth.AuthorizationServer {
  return { ...runtime.metadata(), id_token_signing_alg_values_supported: [...runtime.idp.idTokenAlgs] };
}

/**
 * The type of a token answer must be the one that was asked for (RFC 6749 §7.1): `DPoP` exactly where a key was proven,
 * so that a bound token can never become one that anybody may use (RFC 9449 §5, R-070).
 * @param tokenType as oauth4webapi gives it, in lower case.
 * @throws idp_bad_response
 */
export function checkTokenType(tokenType: string, dpop: DpopKey | undefined): void {
  if (tokenType === (dpop === undefined ? 'bearer' : 'dpop')) return;
  const detail = dpop === undefined ? 'not a bearer token' : 'the token is not bound to the key that was proven';
  throw new SallyportError('idp_bad_response', { detail });
}

/** How long one of these calls may last, ms: it is two requests where a provider may want its nonce in the proof. */
export function callMsOf({ idp }: IdpRuntime): number {
  return idp.timeout.totalMs * (idp.dpop === 'require' ? 2 : 1);
}
