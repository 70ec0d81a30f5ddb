import { type AddressMatcher, clientAddress, parseAddress } from './address.ts';
import type { RequestContext } from './context.ts';
import type { ReturnToCheck } from './return-to.ts';
import type { CompiledRoute, RouteTable } from './routes.ts';
import type { Session } from './services.ts';
import type { SiteRuntime } from './sites.ts';

/** True if the route takes requests from the client's address (`allow_ips`). */
export function isAddressAllowed(route: CompiledRoute, context: RequestContext, trusted: AddressMatcher): boolean {
  if (route.allowsAddress === undefined) return true;
  const address = parseAddress(clientAddress(context.peer, context.forwardedFor, trusted));
  return address !== undefined && route.allowsAddress(address);
}

/**
 * Why a live session does not count at this site and time, for the log; undefined = it does, if its token is fresh or
 * can be renewed (freshness.ts).
 */
export function findSessionProblem(
  session: Session,
  site: SiteRuntime,
  now: number,
): 'other_site' | 'token_expired' | undefined {
  if (session.hot.site !== site.site.name) return 'other_site';
  return now >= session.hot.tokenExpiresAt && !session.hot.renewable ? 'token_expired' : undefined;
}

/**
 * Where a person signs in: absolute, on the host that owns the login. The page asked for comes back as `return_to` if
 * the login accepts it.
 * @param original absolute URL that was asked for.
 * @param extra further query, `&name=value…`, already encoded.
 */
export function loginLocation(site: SiteRuntime, original: string, returnTo: ReturnToCheck, extra: string): string {
  const safe = returnTo(original, site);
  const first = safe === undefined ? '' : `return_to=${encodeURIComponent(safe)}`;
  const query = first === '' ? extra.slice(1) : first + extra;
  return query === '' ? site.loginUrl : `${site.loginUrl}?${query}`;
}

/** True where an ambiguous path may be judged all the same: its host is one route's, which does not look at paths (D-07). */
export function isOpaqueHost(routes: RouteTable, host: string, method: string): boolean {
  const match = routes.find(host, '/', method);
  return match.kind === 'route' && match.compiled.route.pathMode === 'opaque';
}
