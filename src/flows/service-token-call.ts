import * as oauth from 'oauth4webapi';
import type { ServiceTokenSettings } from '../core/config/types-token.ts';
import { isSallyportError } from '../core/errors.ts';
import type { IdpRuntime } from './idp.ts';
import { isBroken } from './refresh-grant.ts';
import { failed, judgeToken, type TokenAnswer, type TokenFailure } from './service-token-check.ts';
import { callAsClient } from './token-endpoint.ts';
import { classifyTokenError } from './tokens.ts';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
/** Error codes that say nothing about the request. */
const PASSING: ReadonlySet<string> = new Set(['temporarily_unavailable', 'server_error']);
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';

/**
 * Exchange an access token for one of a service (RFC 8693 §2). Never throws.
 * @param subjectToken of the person or caller in whose name the service is asked.
 */
export async function exchangeToken(
  runtime: IdpRuntime,
  settings: ServiceTokenSettings,
  subjectToken: string,
  now: number,
): Promise<TokenAnswer> {
  return orFailure(async () => {
    const result = await ask(runtime, {
      grant_type: EXCHANGE,
      subject_token: subjectToken,
      subject_token_type: ACCESS_TOKEN,
      requested_token_type: ACCESS_TOKEN,
      ...wishes(settings),
    });
    if (result['issued_token_type'] !== ACCESS_TOKEN) {
      return failed('idp_bad_response', 'issued_token_type is not that of an access token');
    }
    return judge(runtime, settings, result, settings.scopes, now);
  });
}

/** A token of the client itself (RFC 6749 §4.4). Never throws. */
export async function obtainClientToken(
  runtime: IdpRuntime,
  settings: ServiceTokenSettings,
  now: number,
): Promise<TokenAnswer> {
  return orFailure(async () => {
    const result = await ask(runtime, { grant_type: 'client_credentials', ...wishes(settings) });
    return judge(runtime, settings, result, settings.scopes, now);
  });
}

async function ask(
  runtime: IdpRuntime,
  params: Readonly<Record<string, string>>,
): Promise<oauth.TokenEndpointResponse> {
  const response = await callAsClient(runtime, { endpoint: 'token', params });
  return oauth.processGenericTokenEndpointResponse(runtime.metadata(), runtime.client(), response);
}

/** Parameters that say which token is wanted: a URL is a resource as well (RFC 8693 §2.1, RFC 8707 §2). */
export function wishes({ audience, scopes }: ServiceTokenSettings): Record<string, string> {
  return {
    ...(audience === undefined ? {} : { audience }),
    ...(audience !== undefined && isResource(audience) ? { resource: audience } : {}),
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
  };
}

/** Judge an answer whose form oauth4webapi has checked. @param asked scopes, in case that the answer names none. */
export function judge(
  { idp }: IdpRuntime,
  settings: ServiceTokenSettings,
  result: oauth.TokenEndpointResponse,
  asked: readonly string[],
  now: number,
): TokenAnswer {
  return judgeToken(
    {
      token: result.access_token,
      tokenType: result.token_type,
      scope: result.scope,
      expiresInS: result.expires_in,
    },
    { settings, asked, now, clockSkewMs: idp.clockSkewMs, withoutExpiryMs: idp.refreshWithoutExpiryMs },
  );
}

/** What a failed call means for the service (D-06): refused, unusable, or away. Texts of the provider stay out. */
export function failureOf(error: unknown): TokenFailure {
  const classified = classifyTokenError(error);
  if (!isSallyportError(classified)) throw classified;
  const { code, detail = code } = classified;
  if (code === 'idp_unavailable' || code === 'service_timeout') return failed('idp_unavailable', detail);
  if (error instanceof oauth.ResponseBodyError) {
    return failed(PASSING.has(error.error) ? 'idp_unavailable' : 'no_token_available', detail);
  }
  const isRefused = error instanceof oauth.WWWAuthenticateChallengeError;
  return failed(isRefused ? 'no_token_available' : 'idp_bad_response', detail);
}

/** Asks once more where a connection broke, as an idle one may: obtaining a token twice harms nobody. */
async function orFailure(call: () => Promise<TokenAnswer>): Promise<TokenAnswer> {
  try {
    return await call().catch((error: unknown) => {
      if (!isBroken(error)) throw error;
      return call();
    });
  } catch (error) {
    return failureOf(error);
  }
}

/** RFC 8707 §2: an absolute URI without a fragment. */
function isResource(audience: string): boolean {
  return /^(?:urn:|[a-z][a-z0-9+.-]*:\/\/)/i.test(audience) && URL.canParse(audience) && !audience.includes('#');
}
