import { findCookie } from '../core/cookie.ts';
import { SallyportError } from '../core/errors.ts';
import { cookiesOf, type FlowRequest, type FlowServices, type SiteCookies } from './flow.ts';

/** Logins in a row to one host. */
type HostCount = {
  /** The target's host, percent-encoded as in the cookie. */
  readonly host: string;
  readonly count: number;
  /** The first of them, ms since the epoch. */
  readonly since: number;
};

/** Logins in a row that came back without the session cookie. */
export type LoginCount = HostCount & {
  /** What is known of other hosts, the latest in front. */
  readonly others: readonly HostCount[];
  readonly windowMs: number;
};

/** Hosts that are counted at once; each is one dashboard in a tab of its own. */
const HOSTS_MAX = 4;
const HOST_COUNT = /^([A-Za-z0-9.%_-]{1,300})~([0-9]{1,4})[.]([0-9]{1,15})$/;

/**
 * Count this login (D-25), by the host that it leads to: several dashboards opened at once are no loop. A session cookie
 * in the request, live or not, shows that cookies come back: the count starts anew. Without one,
 * `login.loop.max_logins` within the window are the limit. Two with different values are no session, and another
 * login adds nothing to them: they count as none.
 * @param returnTo where the login leads, as the transaction holds it.
 * @throws login_loop with the likely cause (SPEC §2.3).
 */
export function countLogin(request: FlowRequest, returnTo: string, services: FlowServices): LoginCount {
  const { context, site } = request;
  const { maxLogins, windowMs } = services.config.login.loop;
  const now = services.clock.now();
  const cookies = cookiesOf(services, site);
  const target = new URL(returnTo, site.site.publicUrl).host;
  const host = encodeURIComponent(target);
  const known = readCounts(findCookie(context.cookie, cookies.loop.name).value).filter(
    ({ since }) => now - since < windowMs,
  );
  const previous = known.find((entry) => entry.host === host);
  const others = known.filter((entry) => entry.host !== host).slice(0, HOSTS_MAX - 1);
  const { value, conflicting } = findCookie(context.cookie, cookies.session.name);
  const cookieCameBack = value !== undefined && !conflicting;
  if (cookieCameBack || previous === undefined) return { host, count: 1, since: now, others, windowMs };
  if (previous.count >= maxLogins) {
    throw new SallyportError('login_loop', {
      publicDetail: conflicting ? conflictCause(cookies.session.name) : likelyCause(request, target),
      headers: [...cookies.loop.expire, ...(conflicting ? cookies.session.expire : [])].map(
        (cookie) => ['set-cookie', cookie] as const,
      ),
    });
  }
  return { host, count: previous.count + 1, since: previous.since, others, windowMs };
}

/** `Set-Cookie` of the counter: `<host>~<count>.<since>`, the latest in front, `!` between. */
export function loopHeaders(
  cookies: SiteCookies,
  { others, windowMs, ...latest }: LoginCount,
): readonly (readonly [string, string])[] {
  const value = [latest, ...others].map(({ host, count, since }) => `${host}~${count}.${since}`).join('!');
  return [['set-cookie', cookies.loop.set(value, windowMs)]];
}

function readCounts(value = ''): readonly HostCount[] {
  return value
    .split('!', HOSTS_MAX)
    .map((text) => HOST_COUNT.exec(text))
    .flatMap((parts) =>
      parts === null ? [] : [{ host: parts[1] ?? '', count: Number(parts[2]), since: Number(parts[3]) }],
    );
}

function conflictCause(name: string): string {
  return `This browser sends the cookie ${name} twice with different values, so neither counts. Delete this site's cookies and sign in again.`;
}

function likelyCause({ context, site }: FlowRequest, target: string): string {
  const { domain, secure, name } = site.site.cookie;
  if (secure && context.forwardedProto === 'http' && context.trusted) {
    return `The cookie ${name} is Secure, but the gateway says that you came over plain http, where browsers do not keep it. Open the https address.`;
  }
  if (domain !== undefined) {
    return `The cookie ${name} is set for the domain ${domain} and does not come back from ${target}. Either that host lies outside the domain, or this browser blocks cookies.`;
  }
  return `The cookie ${name} belongs to ${site.loginHost} alone and does not come back from ${target}. Either the application runs on another host (then a cookie domain is needed), or this browser blocks cookies.`;
}
