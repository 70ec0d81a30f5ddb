import * as oauth from 'oauth4webapi';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { IdpRuntime } from './idp.ts';
import { callAsClient } from './token-endpoint.ts';

/**
 * Ask a provider about a token, as its client (RFC 7662 §2.1). @returns the answer's members.
 * @throws idp_unavailable for whatever kept us from an answer, our own credentials included: nobody's token is refused
 * because of them.
 */
export async function introspectToken(runtime: IdpRuntime, token: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const params = { token, token_type_hint: 'access_token' };
    const response = await callAsClient(runtime, { endpoint: 'introspection', params });
    return await oauth.processIntrospectionResponse(runtime.metadata(), runtime.client(), response);
  } catch (error) {
    if (isSallyportError(error) && error.code === 'idp_unavailable') throw error;
    const detail = `introspection at ${runtime.idp.name}: ${isSallyportError(error) ? error.code : nameOf(error)}`;
    throw new SallyportError('idp_unavailable', { detail, cause: error, retryAfterS: 5 });
  }
}

function nameOf(error: unknown): string {
  return error instanceof oauth.ResponseBodyError ? error.error : error instanceof Error ? error.name : 'error';
}
