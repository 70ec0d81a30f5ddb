import { IDENTITY_HEADERS, type Instance, MAIN_URL, TENANTS_URL } from './instance.ts';
import type { User } from './provider.ts';
import { type Exchange, type RawResponse, requestBytes, valuesOf } from './raw-client.ts';
import type { CaseLog } from './report.ts';
import { GATEWAY_ADDRESS, type World } from './world.ts';

/** A header line as it goes over the wire. */
export type HeaderLine = readonly [string, string];

/** A Set-Cookie line of an answer, taken apart. */
export type SetCookie = { readonly name: string; readonly value: string; readonly expires: boolean };

/** A sign-in that was sent to the provider and waits for its callback. */
export type PendingLogin = {
  readonly state: string;
  readonly nonce: string | null;
  readonly challenge: string | null;
  readonly redirectUri: string;
  /** Transaction cookies that the login set. */
  readonly cookies: readonly SetCookie[];
};

/** What GET /auth/login answered. */
export type LoginAnswer = {
  readonly request: Buffer;
  readonly exchange: Exchange;
  readonly response: RawResponse | undefined;
  /** Set if the answer is a redirect to the provider. */
  readonly pending: PendingLogin | undefined;
};

const NAVIGATION: readonly HeaderLine[] = [
  ['accept', 'text/html,application/xhtml+xml'],
  ['sec-fetch-site', 'none'],
  ['sec-fetch-mode', 'navigate'],
  ['sec-fetch-dest', 'document'],
];

/** The header lines of a top-level navigation. */
export function navigationHeaders(host: string): HeaderLine[] {
  return [['host', host], ...NAVIGATION];
}

/** GET /auth/login as a browser's navigation, with the query exactly as given. */
export async function beginLogin(
  world: World,
  instance: Instance,
  query: string,
  host = new URL(MAIN_URL).host,
): Promise<LoginAnswer> {
  const request = requestBytes('GET', query === '' ? '/auth/login' : `/auth/login?${query}`, navigationHeaders(host));
  const exchange = await instance.send(request, world.strangerAddress(instance));
  const response = exchange.responses[0];
  return { request, exchange, response, pending: response && readPending(world, response) };
}

function readPending(world: World, response: RawResponse): PendingLogin | undefined {
  const location = locationOf(response);
  if (location === undefined || !URL.canParse(location)) return undefined;
  const url = new URL(location);
  const issuers = [world.provider.issuer, world.secondProvider.issuer];
  if (!issuers.includes(url.origin) || url.pathname !== '/authorize') return undefined;
  return {
    state: url.searchParams.get('state') ?? '',
    nonce: url.searchParams.get('nonce'),
    challenge: url.searchParams.get('code_challenge'),
    redirectUri: url.searchParams.get('redirect_uri') ?? '',
    cookies: setCookies(response).filter(({ expires }) => !expires),
  };
}

/** The Location header of an answer, if there is exactly one. */
export function locationOf(response: RawResponse): string | undefined {
  const values = valuesOf(response.headers, 'location');
  return values.length === 1 ? values[0] : undefined;
}

/** All Set-Cookie lines of an answer. */
export function setCookies(response: RawResponse): SetCookie[] {
  return valuesOf(response.headers, 'set-cookie').map((line) => {
    const [pair = '', ...attributes] = line.split(';');
    const equals = pair.indexOf('=');
    const expires = attributes.some((attribute) => {
      const [name = '', value = ''] = attribute.trim().split('=');
      if (name.toLowerCase() === 'max-age') return Number(value) <= 0;
      return name.toLowerCase() === 'expires' && Date.parse(value) <= Date.now();
    });
    return { name: pair.slice(0, equals).trim(), value: pair.slice(equals + 1).trim(), expires };
  });
}

/** The new session handle that an answer sets, if any: a non-expiring, non-empty cookie of the session's name. */
export function newSessionOf(response: RawResponse, cookieName: string): string | undefined {
  return setCookies(response).find(({ name, value, expires }) => name === cookieName && value !== '' && !expires)
    ?.value;
}

/** The Cookie header value that sends these cookies back. */
export function cookieHeader(cookies: readonly SetCookie[]): string {
  return cookies.map(({ name, value }) => `${name}=${value}`).join('; ');
}

/** The callback request of a pending login, as the provider would send the browser. */
export function callbackRequest(pending: PendingLogin, issuer: string, code = 'C1'): Buffer {
  const target = new URL(pending.redirectUri);
  const query = new URLSearchParams({ code, state: pending.state, iss: issuer });
  const headers: HeaderLine[] = [...navigationHeaders(target.host), ['cookie', cookieHeader(pending.cookies)]];
  return requestBytes('GET', `${target.pathname}?${query}`, headers);
}

/** Sign a user in for real; returns the answer of the callback and the handle that it set. */
export async function completeLogin(
  world: World,
  instance: Instance,
  pending: PendingLogin,
  user: User,
): Promise<{
  readonly response: RawResponse | undefined;
  readonly handle: string | undefined;
  readonly exchange: Exchange;
}> {
  world.provider.arm({ user, nonce: pending.nonce, patch: {}, beforeAnswer: undefined });
  const exchange = await instance.send(
    callbackRequest(pending, world.provider.issuer),
    world.strangerAddress(instance),
  );
  const response = exchange.responses[0];
  return { response, exchange, handle: response && newSessionOf(response, instance.spec.cookieName) };
}

const HANDLE = /^[A-Za-z0-9_-]{43}$/;

/** Sign a user in and return the live handle. @throws Error with the answers if the plain sign-in does not work. */
export async function signIn(
  world: World,
  instance: Instance,
  user: User,
  site: 'main' | 'tenants' = 'main',
): Promise<string> {
  const host = new URL(site === 'main' ? MAIN_URL : TENANTS_URL).host;
  const login = await beginLogin(world, instance, 'return_to=%2Fdashboard', host);
  if (login.pending === undefined) {
    throw new Error(
      `a plain sign-in did not reach the provider; /auth/login answered: ${login.exchange.bytes.toString('latin1').slice(0, 600)}`,
    );
  }
  const { handle, exchange } = await completeLogin(world, instance, login.pending, user);
  if (handle === undefined || !HANDLE.test(handle)) {
    throw new Error(
      `a plain sign-in set no session; the callback answered: ${exchange.bytes.toString('latin1').slice(0, 600)}`,
    );
  }
  return handle;
}

/** Live handles of one instance, signed in at their first use and kept. */
export type SessionPool = (user: User, site?: 'main' | 'tenants') => Promise<string>;

/** A pool of sessions of an instance. */
export function createSessionPool(world: World, instance: Instance): SessionPool {
  const handles = new Map<string, Promise<string>>();
  return (user, site = 'main') => {
    const key = `${site}:${user.sub}`;
    const known = handles.get(key) ?? signIn(world, instance, user, site);
    handles.set(key, known);
    return known;
  };
}

/** The header lines that Traefik sends to verify for a GET of a path on a host. */
export function verifyHeaders(
  cookieLines: readonly string[],
  host = 'app.example.test',
  uri = '/dashboard',
): HeaderLine[] {
  return [
    ['host', 'bff.internal:8080'],
    ['x-forwarded-host', host],
    ['x-forwarded-uri', uri],
    ['x-forwarded-proto', 'https'],
    ['x-forwarded-method', 'GET'],
    ['x-forwarded-for', '198.51.100.7'],
    ...cookieLines.map((line): HeaderLine => ['cookie', line]),
  ];
}

/** Ask verify from the trusted gateway address whether a handle is a live session. */
export async function verifyHandle(
  instance: Instance,
  handle: string,
  host = 'app.example.test',
): Promise<RawResponse | undefined> {
  const from = instance.spec.listener === 'v6' ? '::1' : GATEWAY_ADDRESS;
  const bytes = requestBytes('GET', '/auth/verify', verifyHeaders([`${instance.spec.cookieName}=${handle}`], host));
  return (await instance.send(bytes, from)).responses[0];
}

/** Nobody learns an identity from `what`. */
export function checkNoIdentity(log: CaseLog, response: Pick<RawResponse, 'headers'> | undefined, what: string): void {
  const carried = IDENTITY_HEADERS.filter((name) => valuesOf(response?.headers ?? [], name).length > 0);
  log.check(carried.length === 0, `the ${what} carries identity headers: ${carried.join(', ')}`);
}
