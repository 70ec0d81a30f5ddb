/**
 * Everything this page asks of its own origin. The browser adds the session cookie by itself; the page never sees a
 * token, and needs no library.
 */

/** An answer, or the lack of one, that the page shows as it is. */
export class Problem extends Error {
  constructor({ status = 0, title, detail, code, requestId, loginUrl }) {
    super(title);
    this.status = status;
    this.detail = detail;
    this.code = code;
    this.requestId = requestId;
    this.loginUrl = loginUrl;
  }
}

const TITLES = new Map([
  [401, 'You are not signed in'],
  [403, 'That is not allowed'],
  [503, 'The service cannot answer right now'],
]);

/**
 * Sends a request to a path of this origin and returns `{ status, body }` of a 2xx answer, `body` parsed from JSON.
 * Unsafe methods carry the header that proves they come from this page and not from a foreign form.
 * Errors: Problem.
 */
export async function send(path, { method = 'GET', json } = {}) {
  const headers = { accept: 'application/json' };
  if (method !== 'GET' && method !== 'HEAD') {
    headers['x-csrf'] = '1';
  }
  if (json !== undefined) {
    headers['content-type'] = 'application/json';
  }
  const response = await reach(path, {
    method,
    headers,
    credentials: 'same-origin',
    cache: 'no-store',
    body: json === undefined ? undefined : JSON.stringify(json),
  });
  const body = await readJson(response);
  if (!response.ok) {
    throw toProblem(response, body);
  }
  return { status: response.status, body };
}

async function reach(path, init) {
  try {
    return await fetch(path, init);
  } catch {
    throw new Problem({
      title: 'The server cannot be reached',
      detail: 'Either the demo was stopped or this device is offline. Nothing is lost: try again.',
    });
  }
}

async function readJson(response) {
  try {
    return await response.json();
  } catch {
    return undefined;
  }
}

function toProblem(response, body) {
  const retryAfter = response.headers.get('retry-after');
  const wait = retryAfter === null ? '' : ` Try again in ${retryAfter} s; your session is kept.`;
  return new Problem({
    status: response.status,
    title: body?.title ?? TITLES.get(response.status) ?? `The server answered ${response.status}`,
    detail: `${body?.detail ?? 'It gave no reason.'}${wait}`,
    code: body?.code,
    requestId: body?.request_id,
    loginUrl: body?.login_url,
  });
}

/** Who is signed in; looking does not extend the session. Errors: Problem. */
export async function fetchSession() {
  const { body } = await send('/api/auth/session?slide=false');
  if (typeof body?.authenticated !== 'boolean') {
    throw new Problem({ title: 'The answer about your session cannot be read', detail: 'Reload the page.' });
  }
  return body;
}

/** The sign-in address that brings the user back to this page. */
export function loginUrl(base) {
  const url = new URL(base ?? '/auth/login', location.href);
  if (!url.searchParams.has('return_to')) {
    url.searchParams.set('return_to', location.pathname + location.search);
  }
  return url.href;
}
