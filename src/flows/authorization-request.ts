import * as oauth from 'oauth4webapi';
import type { Idp } from '../core/config/types.ts';
import type { ForwardedParam } from '../core/config/types-idp.ts';
import { sha256Base64url } from '../core/crypto.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { SiteRuntime } from '../core/sites.ts';
import type { IdpRuntime } from './idp.ts';
import { callAsClient } from './token-endpoint.ts';
import { classifyTokenError } from './tokens.ts';
import { type Transaction, transactionDpop, transactionValues } from './transaction.ts';

/** What a login asks of the provider. */
export type LoginRequest = {
  readonly site: SiteRuntime;
  readonly transaction: Transaction;
  /** Query of /auth/login; `forwarded_params` of it are passed on. */
  readonly params: ReadonlyMap<string, string>;
  /** What the address itself asks for, whatever the query says. */
  readonly prompt: 'create' | undefined;
};

const PROMPTS: ReadonlySet<string> = new Set(['none', 'login', 'consent', 'select_account', 'create']);

/**
 * Where the browser goes for a login: the authorization request itself (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1,
 * PKCE S256 of RFC 7636), or the name of one that was pushed (RFC 9126) where the provider takes those, so that nobody
 * can read or change it on the way.
 * @throws bad_request for a malformed parameter; idp_unavailable, service_timeout, idp_bad_response of the push.
 */
export async function authorizationLocation(runtime: IdpRuntime, login: LoginRequest): Promise<string> {
  const metadata = runtime.metadata();
  const endpoint = metadata.authorization_endpoint;
  if (endpoint === undefined) throw new SallyportError('idp_bad_response', { detail: 'no authorization_endpoint' });
  const request = authorizationParams(runtime.idp, login);
  const url = new URL(endpoint);
  if (runtime.idp.par === 'never' || metadata.pushed_authorization_request_endpoint === undefined) {
    url.search = withParams(url.search, request);
    return url.href;
  }
  url.searchParams.set('client_id', runtime.idp.clientId);
  url.searchParams.set('request_uri', await pushRequest(runtime, request));
  return url.href;
}

/** The endpoint's own query and the request's, whose names win. Each change of a URL's own parameters writes it anew. */
function withParams(search: string, request: URLSearchParams): string {
  if (search === '') return request.toString();
  const query = new URLSearchParams(search);
  for (const name of new Set(request.keys())) query.delete(name);
  for (const [name, value] of request) query.append(name, value);
  return query.toString();
}

function authorizationParams(idp: Idp, { site, transaction, params, prompt }: LoginRequest): URLSearchParams {
  const { state, nonce, codeVerifier } = transactionValues(transaction);
  const query = new URLSearchParams(idp.authorizationParams);
  for (const name of idp.forwardedParams) {
    const value = params.get(name);
    if (value !== undefined && value !== '') query.set(name, checkForwarded(name, value));
  }
  for (const audience of idp.audiences.request) query.append('resource', audience);
  query.set('response_type', 'code');
  if (idp.responseMode === 'form_post') query.set('response_mode', 'form_post');
  if (prompt !== undefined) query.set('prompt', prompt);
  query.set('client_id', idp.clientId);
  query.set('redirect_uri', redirectUri(site, idp));
  query.set('scope', idp.scopes.join(' '));
  query.set('state', state);
  query.set('nonce', nonce);
  query.set('code_challenge', sha256Base64url(codeVerifier));
  query.set('code_challenge_method', 'S256');
  const dpop = transactionDpop(transaction);
  if (dpop !== undefined) query.set('dpop_jkt', dpop.thumbprint);
  return query;
}

/** RFC 9126 §2: the request goes to the provider itself, under our client authentication. */
async function pushRequest(runtime: IdpRuntime, params: URLSearchParams): Promise<string> {
  try {
    const response = await callAsClient(runtime, { endpoint: 'par', params });
    const pushed = await oauth.processPushedAuthorizationResponse(runtime.metadata(), runtime.client(), response);
    const { request_uri: uri, expires_in: expiresIn } = pushed;
    if (expiresIn > 0 && uri.length <= LIMITS.requestUriMaxChars && /^[\x21-\x7e]+$/.test(uri)) return uri;
    throw new SallyportError('idp_bad_response', { detail: 'request_uri is malformed or expired already' });
  } catch (error) {
    throw classifyTokenError(error);
  }
}

/** From the configuration alone. */
export function redirectUri(site: SiteRuntime, idp: Idp): string {
  return `${site.site.publicUrl}${idp.callbackPath}`;
}

/** `max_age` that the provider is asked for, s: of the request where it is passed on, else of the configuration. */
export function maxAgeOf(idp: Idp, params: ReadonlyMap<string, string>): number | undefined {
  const forwarded = idp.forwardedParams.includes('max_age') ? params.get('max_age') : undefined;
  const value = forwarded === undefined || forwarded === '' ? idp.authorizationParams['max_age'] : forwarded;
  return value === undefined ? undefined : Number(checkForwarded('max_age', value));
}

function checkForwarded(name: ForwardedParam, value: string): string {
  if (!isForwardable(name, value)) throw new SallyportError('bad_request', { detail: `malformed ${name}` });
  return value;
}

/** OpenID Connect Core §3.1.2.1: lists of words, a number, or text that is shown in the provider's form. */
function isForwardable(name: ForwardedParam, value: string): boolean {
  if (value.length > LIMITS.queryValueMaxChars) return false;
  switch (name) {
    case 'max_age':
      return /^[0-9]{1,9}$/.test(value);
    case 'prompt': {
      const words = value.split(' ');
      return words.every((word) => PROMPTS.has(word)) && (words.length === 1 || !words.includes('none'));
    }
    case 'ui_locales':
      return /^[A-Za-z0-9-]{1,64}(?: [A-Za-z0-9-]{1,64})*$/.test(value);
    case 'acr_values':
      return /^[\x20-\x7e]+$/.test(value);
    case 'login_hint':
      return /^[\x20-\x7e\u00a0-\uffff]+$/.test(value);
  }
}
