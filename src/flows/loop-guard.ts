import { findCookie } from '../core/cookie.ts';
import { SallyportError } from '../core/errors.ts';
import { cookiesOf, type FlowRequest, type FlowServices, type SiteCookies } from './flow.ts';

/** Logins in a row that came back without the session cookie. */
export type LoginCount = { readonly count: number; readonly since: number; readonly windowMs: number };

/**
 * Count this login (D-25). A session cookie in the request, live or not, shows that cookies come back: the count
 * starts anew. Without one, `login.loop.max_logins` within the window are the limit. Two with different values are no
 * session, and another login adds nothing to them: they count as none.
 * @throws login_loop with the likely cause (SPEC §2.3).
 */
export function countLogin(request: FlowRequest, services: FlowServices): LoginCount {
  const { context, site } = request;
  const { maxLogins, windowMs } = services.config.login.loop;
  const now = services.clock.now();
  const cookies = cookiesOf(services, site);
  const previous = readCount(findCookie(context.cookie, cookies.loop.name).value);
  const { value, conflicting } = findCookie(context.cookie, cookies.session.name);
  const cookieCameBack = value !== undefined && !conflicting;
  if (cookieCameBack || previous === undefined || now - previous.since >= windowMs)
    return { count: 1, since: now, windowMs };
  if (previous.count >= maxLogins) {
    throw new SallyportError('login_loop', {
      publicDetail: conflicting ? conflictCause(cookies.session.name) : likelyCause(request),
      headers: [...cookies.loop.expire, ...(conflicting ? cookies.session.expire : [])].map(
        (cookie) => ['set-cookie', cookie] as const,
      ),
    });
  }
  return { count: previous.count + 1, since: previous.since, windowMs };
}

/** `Set-Cookie` of the counter. */
export function loopHeaders(
  cookies: SiteCookies,
  { count, since, windowMs }: LoginCount,
): readonly (readonly [string, string])[] {
  return [['set-cookie', cookies.loop.set(`${count}.${since}`, windowMs)]];
}

function readCount(value: string | undefined): { count: number; since: number } | undefined {
  const parts = /^([0-9]{1,4})\.([0-9]{1,15})$/.exec(value ?? '');
  return parts === null ? undefined : { count: Number(parts[1]), since: Number(parts[2]) };
}

function conflictCause(name: string): string {
  return `This browser sends the cookie ${name} twice with different values, so neither counts. Delete this site's cookies and sign in again.`;
}

function likelyCause({ context, site }: FlowRequest): string {
  const { domain, secure, name } = site.site.cookie;
  if (secure && context.forwardedProto === 'http' && context.trusted) {
    return `The cookie ${name} is Secure, but the gateway says that you came over plain http, where browsers do not keep it. Open the https address.`;
  }
  if (domain !== undefined) {
    return `The cookie ${name} is set for the domain ${domain} and does not come back. Either the application's host lies outside that domain, or this browser blocks cookies.`;
  }
  return `The cookie ${name} belongs to ${site.loginHost} alone and does not come back. Either the application runs on another host (then a cookie domain is needed), or this browser blocks cookies.`;
}
