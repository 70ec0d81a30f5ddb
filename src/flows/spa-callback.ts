import * as oauth from 'oauth4webapi';
import { equalSecret, sha256Base64url } from '../core/crypto.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import { originProblem } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import { type FlowRequest, type FlowServices, getIdp } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { readJsonObject, signInByScript } from './script-login.ts';
import { callAsClient, dpopKeyFor, tokenMetadata } from './token-endpoint.ts';
import { classifyTokenError, readTokenSet, type TokenSet } from './tokens.ts';

/** What the script sends. */
type Received = {
  readonly code: string;
  readonly state: string;
  readonly codeVerifier: string;
  readonly redirectUri: string;
  /** The nonce of the script's authorization request, if it says it. */
  readonly nonce: string | undefined;
  /** `iss` of the authorization response (RFC 9207), if it says it. */
  readonly issuer: string | undefined;
};

/**
 * `POST /auth/callback` with JSON (SPEC §12, D-44): a script began the login and received the code; the exchange happens
 * here, and the script gets a session. PKCE ties code and script together, so the verifier is required; state and code
 * are taken once in the whole cluster. The nonce is the script's own: it is compared where the script sends it.
 * @throws origin_not_allowed without an allowed Origin, bad_request, callback_invalid, login_denied, idp_unavailable,
 * idp_bad_response, store_unavailable.
 */
export async function exchangeForScript(request: FlowRequest, idpName: string, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  const problem = context.origin === '' ? 'no_origin' : originProblem(context, site, 'refuse');
  if (problem !== undefined) throw new SallyportError('origin_not_allowed', { detail: `script callback ${problem}` });
  const received = readReceived(request);
  const runtime = getIdp(services, idpName);
  const { spaCallback } = services.config.compat;
  if (spaCallback?.redirectUris.includes(received.redirectUri) !== true) {
    throw new SallyportError('callback_invalid', { detail: 'redirect_uri is not in the list' });
  }
  if (received.issuer !== undefined && received.issuer !== runtime.idp.issuer) {
    throw new SallyportError('callback_invalid', { detail: 'the answer is of another issuer' });
  }
  // Without metadata nothing can be asked for: leave the code unused, so that the script can try again.
  runtime.metadata();
  await consume(received, idpName, services);
  const exchange = (now: number): Promise<TokenSet> => requestTokens(runtime, received, now);
  return signInByScript(request, { idpName, kind: 'spa_callback', returnToken: false, exchange }, services);
}

/** RFC 7636 §4.1. */
const VERIFIER = /^[A-Za-z0-9._~-]{43,128}$/;
const PRINTABLE = /^[\x20-\x7e]+$/;

function readReceived(request: FlowRequest): Received {
  const { code, state, code_verifier, redirect_uri, nonce, iss } = readJsonObject(request);
  const refuse = (name: string): never => {
    const publicDetail = 'Send code, state, code_verifier and redirect_uri as texts.';
    throw new SallyportError('bad_request', { detail: `script callback: ${name}`, publicDetail });
  };
  const text = (name: string, value: unknown, maxChars: number): string => {
    return typeof value === 'string' && value.length <= maxChars && PRINTABLE.test(value) ? value : refuse(name);
  };
  const optional = (name: string, value: unknown): string | undefined =>
    value === undefined ? undefined : text(name, value, LIMITS.queryValueMaxChars);
  const codeVerifier = text('code_verifier', code_verifier, 128);
  return {
    code: text('code', code, LIMITS.codeMaxChars),
    state: text('state', state, LIMITS.queryValueMaxChars),
    codeVerifier: VERIFIER.test(codeVerifier) ? codeVerifier : refuse('code_verifier'),
    redirectUri: text('redirect_uri', redirect_uri, LIMITS.returnToMaxChars),
    nonce: optional('nonce', nonce),
    issuer: optional('iss', iss),
  };
}

/** Before the token call, on errors too. */
async function consume({ state, code }: Received, idpName: string, services: FlowServices): Promise<void> {
  const { clock, store, config } = services;
  for (const id of [`script state ${idpName} ${state}`, `script code ${idpName} ${code}`]) {
    const ttlMs = config.login.transactionTtlMs + 60_000;
    if (await store.consumeOnce('state', sha256Base64url(id), clock.now(), ttlMs)) continue;
    throw new SallyportError('callback_invalid', {
      detail: 'code or state was used before',
      publicDetail: 'This sign-in answer was already used. Start the sign-in again.',
    });
  }
}

async function requestTokens(runtime: IdpRuntime, received: Received, now: number): Promise<TokenSet> {
  const { code, redirectUri, codeVerifier, nonce } = received;
  const dpop = dpopKeyFor(runtime);
  try {
    const response = await callAsClient(runtime, {
      endpoint: 'token',
      params: { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: codeVerifier },
      dpop,
    });
    const result = await oauth.processGenericTokenEndpointResponse(tokenMetadata(runtime), runtime.client(), response);
    const tokens = await readTokenSet(runtime, result, now, dpop);
    if (nonce === undefined || equalSecret(String(tokens.claims['nonce'] ?? ''), nonce)) return tokens;
    throw new SallyportError('callback_invalid', { detail: 'the ID token has another nonce' });
  } catch (error) {
    throw classifyTokenError(error);
  }
}
