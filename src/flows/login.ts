import { addressGroup } from '../core/address.ts';
import { findCookie } from '../core/cookie.ts';
import { SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import { hasFetchMetadata } from '../core/origin.ts';
import type { Reply } from '../core/problem.ts';
import { findUrlValue, parseForm } from '../core/query.ts';
import { spend } from '../core/rate-limit.ts';
import type { SiteRuntime } from '../core/sites.ts';
import { authorizationLocation, maxAgeOf } from './authorization-request.ts';
import { offerProviders } from './chooser.ts';
import { cookiesOf, type FlowRequest, type FlowServices, getIdp } from './flow.ts';
import type { IdpRuntime } from './idp.ts';
import { beginTransaction, expireOldTransactions, sealTransaction, setTransactionCookie } from './transaction.ts';

/**
 * `GET /auth/login`, and `/auth/register` with `prompt=create`: begin a login and go to the provider (SPEC §2.0, §2.1). Always starts one (D-25); costs the store
 * nothing, but for `login.rate_limit`.
 * @throws invalid_return_to, unknown_idp, idp_unavailable, rate_limited; authentication_required for a fetch or a framed load.
 */
export async function startLogin(request: FlowRequest, services: FlowServices, prompt?: 'create'): Promise<Reply> {
  const { context, site } = request;
  refuseNonNavigation(request);
  await services.pace();
  const params = parseForm(context.query);
  const returnTo = chooseReturnTo(request, params, services);
  if (request.host !== site.loginHost) return moveToLoginHost(request, returnTo, params, services, prompt);
  const name = chooseIdp(services, site, params.get('idp'));
  if (name === '') return offerProviders(request, returnTo, params, prompt, services);
  const idp = getIdp(services, name);
  const { loginLimit } = services;
  if (loginLimit !== undefined) await spend(loginLimit, `address ${addressGroup(request.clientIp)}`, 'login');
  if (prompt === 'create') checkSignUp(idp);
  const isPosted = idp.idp.responseMode === 'form_post';
  const transaction = beginTransaction({
    site: site.site.name,
    idp: idp.idp.name,
    returnTo,
    startedAt: services.clock.now(),
    maxAgeS: maxAgeOf(idp.idp, params),
    acrValues: idp.idp.forwardedParams.includes('acr_values') ? params.get('acr_values') : undefined,
    dpop: idp.idp.dpop === 'require',
    previous: isPosted ? findOwnHandle(request) : undefined,
    silent: prompt === undefined && params.get('prompt') === 'none' && idp.idp.forwardedParams.includes('prompt'),
  });
  const location = await authorizationLocation(idp, { site, transaction, params, prompt });
  const sealed = sealTransaction(services, transaction);
  const headers: [string, string][] = expireOldTransactions(services, context.cookie, sealed.length).map((value) => [
    'set-cookie',
    value,
  ]);
  headers.push(['set-cookie', setTransactionCookie(services, transaction.id, sealed, isPosted)]);
  return services.replies.redirect(context, location, headers);
}

/** Initiating User Registration via OpenID Connect §4.2: a provider that lists its prompts must list this one. */
function checkSignUp(runtime: IdpRuntime): void {
  const { prompt_values_supported: prompts } = runtime.metadata();
  if (!Array.isArray(prompts) || prompts.includes('create')) return;
  throw new SallyportError('not_found', {
    detail: 'the provider has no sign-up',
    publicDetail: 'One cannot register at this identity provider from here. Ask the operator for an account.',
  });
}

/** The browser's session cookie, whatever it is worth. */
function findOwnHandle({ context, site }: FlowRequest): string | undefined {
  const handle = site.findHandle(context.cookie);
  return handle.length === LIMITS.handleLength ? handle : undefined;
}

/** A script cannot follow the redirect usefully, a frame must not, and a prefetch is no wish to sign in. */
function refuseNonNavigation({ context, site }: FlowRequest): void {
  const { secFetchMode, secFetchDest, secPurpose } = context;
  const fetched = hasFetchMetadata(context) && secFetchMode !== '' && secFetchMode !== 'navigate';
  const framed = secFetchDest !== '' && secFetchDest !== 'document' && secFetchDest !== 'empty';
  if (!fetched && !framed && !secPurpose.includes('prefetch')) return;
  throw new SallyportError('authentication_required', {
    detail: 'login is for top-level navigations',
    publicDetail: 'Open this address in the browser window itself: a script or frame cannot sign anybody in.',
    loginUrl: site.loginUrl,
  });
}

/**
 * The checked target after the login: `return_to`; without one the SPA that a logout left, else the site's default.
 * @throws invalid_return_to
 */
function chooseReturnTo(request: FlowRequest, params: ReadonlyMap<string, string>, services: FlowServices): string {
  const { context, site } = request;
  if ((params.get('return_to') ?? '') !== '') {
    const value = findUrlValue(context.query, 'return_to') ?? '';
    const checked = services.returnTo(value, site);
    if (checked === undefined) throw new SallyportError('invalid_return_to');
    return checked;
  }
  const left = findCookie(context.cookie, cookiesOf(services, site).left.name).value;
  const leftUrl = left === undefined ? undefined : services.returnTo(safeDecode(left), site);
  return leftUrl ?? site.site.defaultReturnTo;
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}

/** One host owns transaction cookie and callback; others send the browser there with an absolute target (SPEC §2.0). */
function moveToLoginHost(
  { context, site, host }: FlowRequest,
  returnTo: string,
  params: ReadonlyMap<string, string>,
  services: FlowServices,
  prompt: 'create' | undefined,
): Reply {
  const { auth } = services.config.paths;
  const target = new URL(prompt === undefined ? site.loginUrl : `${site.site.publicUrl}${auth}/register`);
  const absolute = returnTo.startsWith('/') ? `${site.scheme}://${host}${returnTo}` : returnTo;
  target.searchParams.set('return_to', absolute);
  for (const [name, value] of params) {
    if (name !== 'return_to' && name !== 'state') target.searchParams.set(name, value);
  }
  return services.replies.redirect(context, target.href);
}

/** Empty if the user must choose. @throws unknown_idp */
function chooseIdp(services: FlowServices, site: SiteRuntime, asked: string | undefined): string {
  if (asked === undefined || asked === '') return site.site.idp;
  if (!services.idps.has(asked)) throw new SallyportError('unknown_idp');
  return asked;
}
