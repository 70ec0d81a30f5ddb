import { isObject } from './cases.ts';
import type { CsrfCase } from './csrf-case.ts';
import { ALLOWED_ORIGINS } from './csrf-world.ts';
import type { Lab } from './lab.ts';
import { type Exchange, type RawResponse, valuesOf } from './raw-client.ts';
import type { CaseLog } from './report.ts';
import { checkNoIdentity, locationOf, newSessionOf, setCookies, verifyHandle } from './sign-in.ts';
import { USERS } from './world.ts';

/** What is the same of every answer: CORS for listed origins alone, on refusals too (R-153). */
export function checkCors(
  log: CaseLog,
  { origin, isHandshake, isPreflight, atVerify }: CsrfCase,
  response: RawResponse,
): void {
  const allow = valuesOf(response.headers, 'access-control-allow-origin');
  log.check(allow.length <= 1, `${allow.length} lines of Access-Control-Allow-Origin`);
  if (origin === undefined || !ALLOWED_ORIGINS.includes(origin)) {
    log.check(allow.length === 0, `Access-Control-Allow-Origin: ${allow.join()} to the origin ${origin ?? '(none)'}`);
    const credentials = valuesOf(response.headers, 'access-control-allow-credentials');
    log.check(credentials.length === 0, 'Access-Control-Allow-Credentials to an origin that is not listed');
  }
  // Allow answers of verify are for the gateway; pages and the bodies of preflights are no one's to read.
  const isReadable = !isHandshake && !(isPreflight && response.status >= 400) && !(atVerify && response.status === 200);
  const isPage = valuesOf(response.headers, 'content-type').some((type) => type.startsWith('text/html'));
  if (!isReadable || isPage || origin === undefined) return;
  log.check(
    valuesOf(response.headers, 'vary').some((line) => /(^|[ ,])(origin|\*)($|[ ,])/i.test(line)),
    'Vary does not name Origin',
  );
  if (ALLOWED_ORIGINS.includes(origin))
    log.check(allow[0] === origin, `Access-Control-Allow-Origin is ${allow[0] ?? 'absent'}, expected ${origin}`);
}

/** `expect_headers`: null = absent, `contains x` = one line holds it, else the one exact value. */
export function checkHeaders(log: CaseLog, expected: unknown, response: RawResponse): void {
  if (expected === undefined) return;
  if (!isObject(expected)) {
    log.unchecked.push(`expect_headers ${JSON.stringify(expected)}`);
    return;
  }
  for (const [name, wanted] of Object.entries(expected)) {
    const values = valuesOf(response.headers, name);
    const part = typeof wanted === 'string' ? /^contains (.+)$/.exec(wanted)?.[1]?.toLowerCase() : undefined;
    if (wanted === null) log.check(values.length === 0, `${name} is ${JSON.stringify(values)}, expected none`);
    else if (part !== undefined) {
      const holds = values.some((value) => value.toLowerCase().includes(part));
      log.check(holds, `${name} is ${JSON.stringify(values)}, expected one with ${part}`);
    } else if (typeof wanted === 'string') {
      log.check(
        values.length === 1 && values[0] === wanted,
        `${name} is ${JSON.stringify(values)}, expected ${wanted}`,
      );
    } else log.unchecked.push(`expect_headers.${name} ${JSON.stringify(wanted)}`);
  }
}

/** `accept`: done as asked, and only as asked. */
export async function judgeAccepted(lab: Lab, log: CaseLog, run: CsrfCase, response: RawResponse): Promise<void> {
  const { path, atVerify, isHandshake } = run;
  const { status } = response;
  if (run.isPreflight) {
    log.check(status >= 200 && status < 300, `the preflight is answered ${status}`);
    log.check(lab.world.echo.seen.length === 0, 'the service behind saw the preflight');
    const missing = missingOf(run, response);
    log.check(missing.length === 0, `the preflight's answer does not allow ${missing.join(', ')}`);
  } else if (atVerify) {
    log.check(status === 200, `verify answered ${status}, expected 200`);
    log.check(valuesOf(response.headers, 'x-user-id').join() === USERS.first.sub, 'verify names somebody else');
  } else if (isHandshake) {
    log.check(status === 101, `the handshake is answered ${status}, expected 101`);
    log.check(lab.world.echo.seen.length === 1, `the service behind saw ${lab.world.echo.seen.length} handshakes`);
  } else if (/^\/api\/(users|files|admin|public)\//.test(path)) checkForwarded(lab, log, run, response);
  else await checkOwn(log, run, response);
}

/** What a preflight's answer lacks; a browser that misses anything of it sends nothing more (Fetch, CORS preflight). */
function missingOf({ requested, origin }: CsrfCase, { headers }: RawResponse): readonly string[] {
  const listed = (name: string): string[] => valuesOf(headers, name).join().split(/ *, */);
  const allowed = listed('access-control-allow-headers').map((name) => name.toLowerCase());
  return [
    ...(valuesOf(headers, 'access-control-allow-origin').join() === origin ? [] : ['the origin']),
    ...(listed('access-control-allow-methods').includes(requested.method) ? [] : [requested.method]),
    ...requested.headers.filter((name) => !allowed.includes(name)),
  ];
}

/** One request with the method that was evaluated, as that user, without anything that would override it. */
function checkForwarded(lab: Lab, log: CaseLog, { method, path, query }: CsrfCase, { status }: RawResponse): void {
  log.check(status === 200, `answered ${status}, expected the service's 200`);
  const { seen } = lab.world.echo;
  log.check(seen.length === 1, `the service behind saw ${seen.length} requests, expected one`);
  const [request] = seen;
  if (request === undefined) return;
  const line = `${method} ${path}${query === '' ? '' : `?${query}`} HTTP/1.1\r\n`;
  log.check(request.raw().toString('latin1').startsWith(line), `the service received ${request.method} ${request.url}`);
  const user = path.startsWith('/api/public/') ? '' : USERS.first.sub;
  log.check(valuesOf(request.headers, 'x-user-id').join() === user, 'the service sees another user');
  const overrides = request.headers.map(([name]) => name.toLowerCase()).filter((name) => /method/.test(name));
  log.check(overrides.length === 0, `the service received ${overrides.join(', ')}`);
}

/** Our own endpoints: what each of them does for a friend. */
async function checkOwn(log: CaseLog, run: CsrfCase, response: RawResponse): Promise<void> {
  const { status, body } = response;
  switch (run.path) {
    case '/api/auth/session':
      log.check(status === 200 && body.includes('"authenticated":true'), `answered ${status} ${body.slice(0, 80)}`);
      return;
    case '/auth/login':
      log.check(status === 302 && locationOf(response)?.includes('/authorize?') === true, `answered ${status}`);
      return;
    case '/auth/logout':
    case '/api/auth/logout':
      log.check(status >= 200 && status < 400, `answered ${status}`);
      // A GET may ask first (R-110).
      log.check(run.method !== 'POST' || !(await isLive(run)), 'the session lives on');
      return;
    case '/auth/refresh':
    case '/api/auth/refresh':
      log.check(status === 200 || status === 204, `answered ${status}`);
      log.check(!/at-|rt-|access_token|refresh_token/.test(body), 'the answer holds a token');
      log.check(await isLive(run), 'the session does not live on');
      return;
    case '/auth/backchannel-logout':
      log.check(status === 200 || status === 204, `answered ${status}`);
      log.check(await isLive(run), 'the session of the cookie has ended');
      return;
    case '/api/v1/metrics':
      log.check(status === 204 && body === '', `answered ${status}, expected 204 without a body`);
      return;
    default:
      log.unchecked.push(`accept of ${run.path}`);
  }
}

/**
 * `reject`: refused with a 4xx, or for a GET of the logout the page that asks first; nothing reaches a service, nothing
 * is read, and the session lives on.
 */
export async function judgeRejected(lab: Lab, log: CaseLog, run: CsrfCase, exchange: Exchange): Promise<void> {
  log.check(lab.world.echo.seen.length === 0, `the service behind saw ${lab.world.echo.seen.length} request(s)`);
  const [response] = exchange.responses;
  if (response === undefined) log.check(exchange.closedByServer, 'no answer and the connection stays open');
  else checkRefusal(log, run, response);
  if (run.handle !== undefined) log.check(await isLive(run), 'the session does not live on');
}

function checkRefusal(log: CaseLog, run: CsrfCase, response: RawResponse): void {
  const { status, body } = response;
  const asksFirst = run.method === 'GET' && run.path === '/auth/logout';
  if (asksFirst) log.check(status < 500, `answered ${status}`);
  else log.check(isAcceptable(run, response), `answered ${status}, expected a refusal`);
  const recommended = run.attack['status'];
  if (typeof recommended === 'number' && recommended !== status)
    log.notes.push(`answered ${status} where ${recommended} is recommended`);
  const { cookieName } = run.instance.spec;
  log.check(newSessionOf(response, cookieName) === undefined, 'the refusal sets a session');
  const expired = setCookies(response).some(({ name, expires }) => name === cookieName && expires);
  log.check(run.handle === undefined || !expired, 'the refusal expires the session cookie');
  checkNoIdentity(log, response, 'refusal');
  log.check(!body.includes(`"${USERS.first.username}"`) && body !== 'echo', 'the refusal holds data');
}

function isAcceptable(run: CsrfCase, response: RawResponse): boolean {
  const { status } = response;
  const { acceptable_status: listed } = run.attack;
  if ((status >= 400 && status < 500) || (Array.isArray(listed) && listed.includes(status))) return true;
  return run.isPreflight && missingOf(run, response).length > 0;
}

/** Whether the session that the case presented is still one; an image, a form or a prefetch must not end it. */
export async function isLive({ instance, handle = '' }: CsrfCase): Promise<boolean> {
  return (await verifyHandle(instance, handle))?.status === 200;
}
