import type { Session, Sessions } from '../core/services.ts';
import type { TokenCookies } from '../core/token-cookies.ts';
import type { Asked } from './authorize.ts';

/**
 * `Set-Cookie` values that go with the answer of a service (SPEC §12): none while the browser has the session's token;
 * else its token cookies. The store is asked only for a refresh token, and only then.
 */
export function findRenewedCookies(
  { sessions }: { readonly sessions: Sessions },
  tokenCookies: TokenCookies,
  { context, site, path }: Asked,
  session: Session,
): readonly string[] | Promise<readonly string[]> {
  // A bearer's caller has no record, and its token is not ours to give.
  if (session.locator === '' || tokenCookies.isCurrent(context, path, session)) return [];
  if (!tokenCookies.savesGrants) return tokenCookies.issue(site, session, undefined);
  const handle = site.findHandle(context.cookie);
  return sessions.readCold(handle).then((cold) => tokenCookies.issue(site, session, cold?.refreshToken));
}
