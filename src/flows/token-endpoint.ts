import * as oauth from 'oauth4webapi';
import { SallyportError } from '../core/errors.ts';
import type { IdpRuntime } from './idp.ts';

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
};

/**
 * The one way to ask a provider something as its client: authorization code, refresh, exchange and client credentials
 * grants, pushed authorization requests, revocation, introspection. Client authentication happens here.
 * @returns the answer as it came; the caller has oauth4webapi read it.
 * @throws idp_unavailable, service_timeout and idp_bad_response as the outbound client says; OperationProcessingError
 * where the provider has no such endpoint.
 */
export async function callAsClient(runtime: IdpRuntime, call: ClientCall): Promise<Response> {
  const metadata = runtime.metadata();
  const client = runtime.client();
  const { clientAuth, requestOptions } = runtime;
  const params = new URLSearchParams(call.params);
  switch (call.endpoint) {
    case 'token': {
      const grant = params.get('grant_type') ?? '';
      return oauth.genericTokenEndpointRequest(metadata, client, clientAuth, grant, params, requestOptions);
    }
    case 'par':
      return oauth.pushedAuthorizationRequest(metadata, client, clientAuth, params, requestOptions);
    case 'revocation':
    case 'introspection': {
      const token = params.get('token') ?? '';
      const send = call.endpoint === 'revocation' ? oauth.revocationRequest : oauth.introspectionRequest;
      return send(metadata, client, clientAuth, token, { ...requestOptions, additionalParameters: params });
    }
  }
}

/** The provider's metadata with the signatures of ID tokens that the configuration accepts, for reading token answers. */
export function tokenMetadata(runtime: IdpRuntime): oauth.AuthorizationServer {
  return { ...runtime.metadata(), id_token_signing_alg_values_supported: [...runtime.idp.idTokenAlgs] };
}

/**
 * The type of a token answer must be the one that was asked for (RFC 6749 §7.1, RFC 9449 §5, R-070).
 * @param tokenType as oauth4webapi gives it, in lower case.
 * @throws idp_bad_response
 */
export function checkTokenType(tokenType: string): void {
  if (tokenType !== 'bearer') throw new SallyportError('idp_bad_response', { detail: 'not a bearer token' });
}
