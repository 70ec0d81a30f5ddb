import * as oauth from 'oauth4webapi';
import { sha256Base64url } from '../core/crypto.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import { hasFetchMetadata } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import { parseForm } from '../core/query.ts';
import type { Session } from '../core/services.ts';
import { redirectUri } from './authorization-request.ts';
import {
  cookiesOf,
  type FlowRequest,
  type FlowServices,
  findSession,
  getIdp,
  newSessionCookies,
  tokenCookieHeaders,
} from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { countLogin, loopHeaders } from './loop-guard.ts';
import { openSession, replaceSession } from './new-session.ts';
import { exchangeCode, revokeInBackground, safeCode, type TokenSet } from './tokens.ts';
import {
  findTransaction,
  loginUrlOf,
  type Transaction,
  transactionCookie,
  transactionDpop,
  transactionValues,
} from './transaction.ts';

/**
 * `GET /auth/callback`, or its POST where the provider answers by form: finish a login (SPEC §2.2). The state is consumed once for the whole cluster before the token
 * call, on errors too; a new handle is made, the old session of this browser ends.
 * @param idpName provider whose callback path this is.
 */
export async function finishLogin(request: FlowRequest, idpName: string, services: FlowServices): Promise<Reply> {
  const { context, site } = request;
  refuseOddArrivals(request);
  await services.pace();
  const params = parseCallback(
    getIdp(services, idpName).idp.responseMode === 'form_post' ? request.body : context.query,
  );
  const current = (await findSession(request, services, false))?.session;
  const transaction = await openCallback(request, params, idpName, current, services);
  if ('status' in transaction) return transaction;
  const runtime = getIdp(services, idpName);
  const previous = current ?? (await findPrevious(request, transaction, services));
  const cleanup = transactionCookie(services, transaction.id).expire.map((value) => ['set-cookie', value] as const);
  try {
    const values = transactionValues(transaction);
    const validated = validateResponse(runtime, values.state, params);
    const loop = countLogin(request, transaction.returnTo, services);
    const exchange = {
      code: validated.get('code') ?? '',
      redirectUri: redirectUri(site, runtime.idp),
      codeVerifier: values.codeVerifier,
      nonce: values.nonce,
      maxAgeS: transaction.maxAgeS,
      dpop: transactionDpop(transaction),
    };
    const tokens = await exchangeCode(runtime, exchange, services.clock.now());
    if (!isAcrMet(transaction, tokens)) throw tooWeak(runtime, tokens, previous, services);
    const { handle, session } = await openSession(request, runtime, tokens, transaction.startedAt, services);
    if (previous !== undefined) await replaceSession(previous, services);
    services.metrics.logins.inc({ idp: idpName, outcome: 'ok' });
    const cookies = cookiesOf(services, site);
    return services.replies.redirect(context, transaction.returnTo, [
      ...cleanup,
      ...newSessionCookies(services, site, handle),
      ...tokenCookieHeaders(request, session, tokens.refreshToken, services),
      ...loopHeaders(cookies, loop),
      ...cookies.left.expire.map((value) => ['set-cookie', value] as const),
    ]);
  } catch (error) {
    if (!isSallyportError(error)) throw error;
    services.metrics.logins.inc({ idp: idpName, outcome: error.code });
    services.audit('login_failed', {
      request_id: context.requestId,
      idp: idpName,
      site: site.site.name,
      client_ip: request.clientIp,
      reason: error.detail ?? error.code,
    });
    if (transaction.silent && error.code === 'callback_invalid')
      return silentFailure(request, transaction, cleanup, services);
    throw new SallyportError(error.code, {
      ...(error.detail === undefined ? {} : { detail: error.detail }),
      publicDetail: error.publicDetail,
      ...(error.retryAfterS === undefined ? {} : { retryAfterS: error.retryAfterS }),
      headers: [...error.headers, ...cleanup],
      cause: error.cause,
    });
  }
}

/** The session that the browser had when a login began whose answer comes by form: its cookie stays at home (D-24). */
async function findPrevious(
  { site }: FlowRequest,
  { previous }: Transaction,
  { sessions }: FlowServices,
): Promise<Session | undefined> {
  const session = previous === undefined ? undefined : await sessions.find(previous, false);
  return session?.hot.site === site.site.name ? session : undefined;
}

/** True if the provider authenticated the user in one of the ways asked for, or in any where none was. */
function isAcrMet({ acrValues = '' }: Transaction, { claims }: TokenSet): boolean {
  const wanted = acrValues.split(' ').filter((value) => value !== '');
  const { acr } = claims;
  return wanted.length === 0 || (typeof acr === 'string' && wanted.includes(acr));
}

/**
 * A provider may ignore `acr_values`. Going back to a page that asks for more would begin the same login again, for ever:
 * this one ends here, and the session that there was goes on; without one nobody will use the tokens.
 */
function tooWeak(
  runtime: IdpRuntime,
  { refreshToken, accessToken }: TokenSet,
  previous: Session | undefined,
  services: FlowServices,
): SallyportError {
  if (previous === undefined) revokeInBackground(services, runtime, [refreshToken, accessToken]);
  return new SallyportError('insufficient_user_authentication', {
    detail: 'the provider did not authenticate as asked',
    publicDetail:
      'Your identity provider signed you in, but not in the stronger way that the page asks for. Set up a second factor there, or ask the operator; another attempt alone changes nothing.',
  });
}

/** Prefetches and frames must not redeem a code; the callback lives on the login host only. */
function refuseOddArrivals({ context, site, host }: FlowRequest): void {
  const { secFetchDest, secFetchMode, secPurpose } = context;
  if (
    secPurpose.includes('prefetch') ||
    (secFetchDest !== '' && secFetchDest !== 'document' && secFetchDest !== 'empty')
  ) {
    throw new SallyportError('callback_invalid', { detail: 'not a top-level navigation' });
  }
  if (hasFetchMetadata(context) && secFetchMode !== '' && secFetchMode !== 'navigate')
    throw new SallyportError('callback_invalid', { detail: 'not a navigation' });
  if (host !== site.loginHost) throw new SallyportError('transaction_missing', { detail: 'not the login host' });
}

/** Refuses repetition, `code` beside `error`, JARM, and tokens in the query. */
function parseCallback(query: string): ReadonlyMap<string, string> {
  const params = parseForm(query);
  const refuse = (detail: string): never => {
    throw new SallyportError('callback_invalid', { detail });
  };
  for (const name of ['id_token', 'access_token', 'token', 'response'])
    if (params.has(name)) refuse(`${name} in the query`);
  if (params.has('code') === params.has('error')) refuse('neither or both of code and error');
  const code = params.get('code');
  if (code !== undefined && (code.length > LIMITS.codeMaxChars || !/^[\x20-\x7e]+$/.test(code)))
    refuse('malformed code');
  if (params.get('error') === '') refuse('empty error');
  return params;
}

/** The transaction, consumed; or where a stale or repeated callback of a signed-in browser goes (SPEC §2.2). */
async function openCallback(
  request: FlowRequest,
  params: ReadonlyMap<string, string>,
  idpName: string,
  current: Session | undefined,
  services: FlowServices,
): Promise<Transaction | Reply> {
  let transaction: Transaction;
  try {
    transaction = findTransaction(services, request.context.cookie, params.get('state'), request.site);
  } catch (error) {
    if (!isSallyportError(error) || current === undefined || error.code === 'callback_invalid') throw error;
    return services.replies.redirect(request.context, request.site.site.defaultReturnTo);
  }
  if (transaction.idp !== idpName || transaction.site !== request.site.site.name) {
    throw new SallyportError('callback_invalid', { detail: 'another provider or site began this login' });
  }
  // Without metadata neither iss nor code can be checked: leave the state unused, so that a reload can finish.
  getIdp(services, idpName).metadata();
  const { clock, store, config } = services;
  const stateId = sha256Base64url(params.get('state') ?? '');
  const fresh = await store.consumeOnce('state', stateId, clock.now(), config.login.transactionTtlMs + 60_000);
  if (fresh) return transaction;
  if (current !== undefined) return services.replies.redirect(request.context, transaction.returnTo);
  throw new SallyportError('transaction_missing', {
    detail: 'state was used before',
    loginUrl: loginUrlOf(transaction, request.site),
    publicDetail: 'This sign-in answer was already used. Start the sign-in again.',
  });
}

/**
 * RFC 6749 §4.1.2 and RFC 9207 through oauth4webapi: `state` and `iss`, announced but missing is refused too.
 * @throws login_denied if the user or provider said no, callback_invalid for other errors.
 */
function validateResponse(runtime: IdpRuntime, state: string, params: ReadonlyMap<string, string>): URLSearchParams {
  const search = new URLSearchParams([...params]);
  try {
    return oauth.validateAuthResponse(runtime.metadata(), runtime.client(), search, state);
  } catch (error) {
    if (error instanceof oauth.AuthorizationResponseError) throw classifyAnswer(error.error);
    if (error instanceof oauth.OperationProcessingError || error instanceof oauth.UnsupportedOperationError) {
      throw new SallyportError('callback_invalid', { detail: `answer refused: ${error.code ?? error.name}` });
    }
    throw error;
  }
}

function classifyAnswer(code: string): SallyportError {
  const detail = `the provider answered ${safeCode(code)}`;
  if (code === 'access_denied') return new SallyportError('login_denied', { detail });
  if (code === 'temporarily_unavailable' || code === 'server_error') {
    return new SallyportError('idp_unavailable', { detail, retryAfterS: 5 });
  }
  return new SallyportError('callback_invalid', { detail });
}

/** `prompt=none` was the caller's wish: it learns of the failure at its own address (D-25). */
function silentFailure(
  { context, site }: FlowRequest,
  transaction: Transaction,
  headers: readonly (readonly [string, string])[],
  services: FlowServices,
): Reply {
  const target = new URL(transaction.returnTo, site.site.publicUrl);
  target.searchParams.set('error', 'login_required');
  return services.replies.redirect(context, target.href, headers);
}
