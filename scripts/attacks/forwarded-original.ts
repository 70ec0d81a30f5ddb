import { type ForwardedCase, send } from './forwarded-case.ts';
import { MAIN_URL, TENANTS_URL } from './instance.ts';
import { type RawResponse, valuesOf } from './raw-client.ts';
import type { CaseLog } from './report.ts';
import { type HeaderLine, locationOf } from './sign-in.ts';
import { USERS } from './world.ts';

const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Public URL of the host group that a host of the test world belongs to. */
function publicUrlOf(host: string): string {
  return host.endsWith('.apps.example.test') ? TENANTS_URL : MAIN_URL;
}

/**
 * The login answer speaks for the host group: either on to the group's own login address, or to the provider with the
 * group's configured redirect_uri.
 */
export function checkLogin(log: CaseLog, run: ForwardedCase, response: RawResponse | undefined): void {
  const location = response && locationOf(response);
  const redirected =
    response !== undefined && [302, 303].includes(response.status) && location !== undefined && URL.canParse(location);
  log.check(redirected, `answered ${response?.status ?? 'nothing'}, expected a redirect of the login`);
  if (!redirected) return;
  const url = new URL(location);
  const group = publicUrlOf(String(run.expect['host'] ?? 'app.example.test'));
  const redirectUri = url.searchParams.get('redirect_uri');
  const reached = redirectUri === null ? url.origin : new URL(redirectUri).origin;
  log.check(reached === group, `the login speaks for ${reached}, expected ${group}`);
}

/** The decision of verify, and what it took as the original request: host, uri and proto, method, client address. */
export async function checkOriginalRequest(
  log: CaseLog,
  run: ForwardedCase,
  response: RawResponse | undefined,
): Promise<void> {
  checkClientAddress(log, run);
  if (!run.withSession) {
    log.check(
      response?.status === 401 || response?.status === 302,
      `answered ${response?.status ?? 'nothing'} without a session, expected 401 or 302`,
    );
  } else if (SAFE_METHODS.has(String(run.expect['method'] ?? 'GET'))) checkAllowed(log, response, 'answered');
  else await checkUnsafeMethod(log, run, response);
  await checkReturnTo(log, run);
}

function checkAllowed(log: CaseLog, response: RawResponse | undefined, what: string): void {
  log.check(response?.status === 200, `${what} ${response?.status ?? 'nothing'}, expected 200 for the live session`);
  const user = response && valuesOf(response.headers, 'x-user-id').join(' | ');
  log.check(user === USERS.first.sub, `X-User-Id is ${JSON.stringify(user)}, expected ${USERS.first.sub}`);
}

/**
 * An unsafe method is seen as such if verify refuses it with a foreign Origin, which no safe method minds. Without any
 * Origin, a refusal for the lack of it and an answer for the session are both evaluations of the request.
 */
async function checkUnsafeMethod(log: CaseLog, run: ForwardedCase, response: RawResponse | undefined): Promise<void> {
  if (run.headers.some(([name]) => name.toLowerCase() === 'origin')) {
    checkAllowed(log, response, 'answered');
    return;
  }
  if (!isCsrfRefusal(response)) checkAllowed(log, response, 'answered');
  const own = await send(run, [...run.headers, ['origin', MAIN_URL]]);
  checkAllowed(log, own.responses[0], 'with an allowed Origin answered');
  const foreign = await send(run, [...run.headers, ['origin', 'https://evil.test']]);
  log.sent('with a foreign Origin', '(the same with Origin: https://evil.test)', foreign.bytes);
  const status = foreign.responses[0]?.status ?? 'nothing';
  log.check(
    isCsrfRefusal(foreign.responses[0]),
    `with a foreign Origin answered ${status}: the unsafe method was not seen`,
  );
}

function isCsrfRefusal(response: RawResponse | undefined): boolean {
  return response?.status === 403 && response.body.includes('csrf_failed');
}

/** Without the cookie and as a navigation, the login address names the original URL in return_to. */
async function checkReturnTo(log: CaseLog, run: ForwardedCase): Promise<void> {
  const { proto, host, uri } = run.expect;
  if (proto === undefined && host === undefined && uri === undefined) return;
  const anonymous: HeaderLine[] = run.headers.filter(([name]) => name.toLowerCase() !== 'cookie');
  const navigation: HeaderLine[] = [
    ['accept', 'text/html'],
    ['sec-fetch-site', 'none'],
    ['sec-fetch-mode', 'navigate'],
    ['sec-fetch-dest', 'document'],
  ];
  const answer = await send(run, [...anonymous, ...navigation]);
  const response = answer.responses[0];
  log.sent('anonymous navigation', '(the same without the cookie, as a navigation)', answer.bytes);
  log.check(
    response !== undefined && [302, 401].includes(response.status),
    `an anonymous navigation got ${response?.status ?? 'nothing'}, expected 302 or 401`,
  );
  const login = response && loginAddress(response);
  const returnTo = login === undefined ? null : new URL(login).searchParams.get('return_to');
  if (login !== undefined && host !== undefined) {
    const group = publicUrlOf(String(host));
    log.check(login.startsWith(`${group}/auth/login`), `the login address is ${login}, expected one of ${group}`);
  }
  if (returnTo === null) {
    log.notes.push('proto, host and uri not observable: no login address with return_to');
    return;
  }
  const expected = `${proto ?? 'https'}://${host ?? 'app.example.test'}${uri ?? ''}`;
  log.check(
    uri === undefined ? returnTo.startsWith(expected) : returnTo === expected,
    `the original URL was taken as ${returnTo}, expected ${expected}`,
  );
}

function loginAddress(response: RawResponse): string | undefined {
  const location = locationOf(response);
  if (location !== undefined && URL.canParse(location)) return location;
  const named = /"login_url"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(response.body)?.[1];
  const url: unknown = named === undefined ? undefined : JSON.parse(named);
  return typeof url === 'string' && URL.canParse(url) ? url : undefined;
}

/** The client address as the access log tells it; addresses that only loopback players have are translated. */
function checkClientAddress(log: CaseLog, run: ForwardedCase): void {
  const expected = run.expect['client_ip'];
  if (expected === undefined) return;
  const line = run.instance.logLines.find((entry) => 'client_ip' in entry || 'clientIp' in entry);
  if (line === undefined) {
    log.notes.push('client_ip not observable: the access log names no client address');
    return;
  }
  const wanted = expected === run.peerName ? run.peer.localAddress : expected;
  const logged = line['client_ip'] ?? line['clientIp'];
  log.check(logged === wanted, `the client address is ${JSON.stringify(logged)}, expected ${JSON.stringify(wanted)}`);
}
