/**
 * Browser helper for applications behind Sallyport. No dependencies, no tokens: the session is a cookie that scripts
 * cannot read, and the server adds the token of each service. See README.md.
 */

/** Close code of a WebSocket whose session has ended. */
export const SESSION_ENDED = 4401;

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
const EVENT_MAX_CHARS = 1_048_576;

/** An answer that is no success, or the lack of one (status 0). */
export class SallyportProblem extends Error {
  constructor({ status = 0, title = '', body = {}, requestId, retryAfter }) {
    super(title || body.title || `The server answered ${status}`);
    this.name = 'SallyportProblem';
    this.status = status;
    this.code = body.code ?? (status === 0 ? 'network_error' : 'http_error');
    this.detail = body.detail ?? '';
    this.requestId = body.request_id ?? requestId ?? undefined;
    this.loginUrl = body.login_url ?? undefined;
    this.retryAfter = retryAfter;
  }
}

/** Create a client. */
export function createClient(options = {}) {
  return new Client(options);
}

class Client {
  #base;
  #sessionUrl;
  #csrfHeader;
  #proof;
  #storageKeys;
  #onSignIn;
  #logoutUrl;
  #isLeaving = false;
  /** What ends at the sign-out: functions that close a stream or a socket. */
  #open = new Set();

  constructor({ base = '/api', sessionUrl, csrfHeader = 'X-CSRF', csrfValue = '1', storageKeys = [], onSignIn }) {
    this.#base = new URL(base.endsWith('/') ? base : `${base}/`, location.href);
    this.#sessionUrl = new URL(sessionUrl ?? '/api/auth/session', this.#base);
    this.#csrfHeader = csrfHeader;
    this.#proof = csrfValue;
    this.#storageKeys = storageKeys;
    this.#onSignIn = onSignIn;
  }

  async session({ slide = false, signal } = {}) {
    const url = new URL(this.#sessionUrl);
    if (!slide) url.searchParams.set('slide', 'false');
    const { body } = await this.#fetch(url, { signal, headers: { accept: 'application/json' } });
    if (typeof body?.authenticated !== 'boolean') {
      throw new SallyportProblem({ title: 'The answer about the session cannot be read' });
    }
    if (body.csrf_token !== undefined) this.#proof = body.csrf_token;
    this.#logoutUrl = body.logout_url;
    return body;
  }

  async request(path, { method = 'GET', json, body, headers = {}, signal } = {}) {
    const type = json === undefined ? {} : { 'content-type': 'application/json' };
    const init = {
      method: method.toUpperCase(),
      body: json === undefined ? body : JSON.stringify(json),
      headers: { accept: 'application/json', ...type, ...headers },
      signal,
    };
    const isRepeatable = typeof ReadableStream === 'undefined' || !(body instanceof ReadableStream);
    return this.#proven(isRepeatable, (proof) =>
      this.#fetch(this.#url(path), SAFE.has(init.method) ? init : { ...init, headers: { ...init.headers, ...proof } }),
    );
  }

  async upload(path, body, { method = 'POST', headers = {}, signal, onProgress } = {}) {
    return this.#proven(true, (proof) =>
      send(this.#url(path), { method, body, signal, onProgress, headers: { ...headers, ...proof } }),
    );
  }

  async events(path, { onEvent, headers = {}, signal }) {
    const controller = new AbortController();
    const stop = () => controller.abort();
    signal?.addEventListener('abort', stop);
    this.#open.add(stop);
    try {
      if (signal?.aborted) return;
      const init = { headers: { accept: 'text/event-stream', ...headers }, signal: controller.signal };
      const response = await this.#proven(true, () => this.#reach(this.#url(path), init));
      await readEvents(response.body, onEvent);
    } catch (error) {
      if (!controller.signal.aborted) throw error instanceof SallyportProblem ? error : unreachable(error);
    } finally {
      this.#open.delete(stop);
      signal?.removeEventListener('abort', stop);
    }
  }

  socketUrl(path) {
    const url = this.#url(path);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    return url.href;
  }

  socket(path, { protocols = [], onSessionEnd } = {}) {
    const socket = new WebSocket(this.socketUrl(path), protocols);
    const stop = () => socket.close(1000);
    this.#open.add(stop);
    socket.addEventListener('close', ({ code }) => {
      this.#open.delete(stop);
      if (code !== SESSION_ENDED || this.#isLeaving) return;
      if (onSessionEnd === undefined) this.signIn();
      else onSessionEnd();
    });
    return socket;
  }

  signIn(loginUrl = '/auth/login') {
    if (this.#isLeaving) return;
    const url = new URL(loginUrl, this.#base);
    // An address from an answer is followed only where a browser may be sent.
    if (url.protocol !== 'https:' && url.protocol !== 'http:') return;
    if (!url.searchParams.has('return_to')) {
      const here = new URL(location.href);
      const isSame = here.origin === url.origin;
      url.searchParams.set(
        'return_to',
        isSame ? here.pathname + here.search : here.origin + here.pathname + here.search,
      );
    }
    if (this.#onSignIn !== undefined) {
      this.#onSignIn(url.href);
      return;
    }
    this.#isLeaving = true;
    location.assign(url.href);
  }

  signOut({ everywhere = false } = {}) {
    this.#isLeaving = true;
    for (const stop of [...this.#open]) stop();
    for (const key of this.#storageKeys) {
      localStorage.removeItem(key);
      sessionStorage.removeItem(key);
    }
    const url = new URL(this.#logoutUrl ?? '/auth/logout', this.#base);
    if (everywhere) url.searchParams.set('everywhere', 'true');
    location.assign(url.href);
  }

  #url(path) {
    const url = new URL(path.replace(/^\/+/, ''), this.#base);
    if (url.origin !== this.#base.origin || !url.pathname.startsWith(this.#base.pathname)) {
      throw new TypeError('the path leads out of base');
    }
    return url;
  }

  /** Run a request with the proof; a missing session leads to the sign-in, a stale proof is renewed once. */
  async #proven(isRepeatable, run) {
    const used = this.#proof;
    try {
      return await run({ [this.#csrfHeader]: used });
    } catch (problem) {
      if (!(problem instanceof SallyportProblem)) throw problem;
      if (problem.code === 'csrf_failed' && isRepeatable) {
        await this.session();
        // It was refused before anything was done with it, so sending it again does nothing twice.
        if (this.#proof !== used) return run({ [this.#csrfHeader]: this.#proof });
      }
      // Never for no_token_available: the session lives, and a sign-in would change nothing.
      if (problem.code === 'authentication_required') await this.#askForSignIn();
      throw problem;
    }
  }

  /** A service may say 401 for reasons of its own: the session check knows. */
  async #askForSignIn() {
    const state = await this.session().catch(() => undefined);
    if (state?.authenticated === false) this.signIn(state.login_url);
  }

  async #fetch(url, init) {
    const response = await this.#reach(url, init);
    return { status: response.status, headers: response.headers, body: parse(await readText(response)) };
  }

  async #reach(url, init) {
    let response;
    try {
      response = await fetch(url, { credentials: 'include', cache: 'no-store', ...init });
    } catch (error) {
      throw init.signal?.aborted ? error : unreachable(error);
    }
    if (response.ok) return response;
    throw problemOf(response.status, (name) => response.headers.get(name), await readText(response));
  }
}

/** XMLHttpRequest, because fetch cannot say how much it has sent. */
function send(url, { method, headers, body, signal, onProgress }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method.toUpperCase(), url);
    xhr.withCredentials = true;
    xhr.setRequestHeader('accept', 'application/json');
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    const abort = () => xhr.abort();
    if (onProgress !== undefined) {
      xhr.upload.onprogress = ({ loaded, total, lengthComputable }) => onProgress(loaded, lengthComputable ? total : 0);
    }
    xhr.onloadend = () => signal?.removeEventListener('abort', abort);
    xhr.onabort = () => reject(signal?.reason ?? new DOMException('The upload was stopped', 'AbortError'));
    xhr.onerror = () => reject(unreachable());
    xhr.onload = () => {
      const { status, responseText } = xhr;
      const get = (name) => xhr.getResponseHeader(name);
      if (status < 200 || status > 299) reject(problemOf(status, get, responseText));
      else resolve({ status, headers: headersOf(xhr.getAllResponseHeaders()), body: parse(responseText) });
    };
    signal?.addEventListener('abort', abort);
    if (signal?.aborted) abort();
    else xhr.send(body);
    if (signal?.aborted) reject(signal.reason);
  });
}

function headersOf(text) {
  const headers = new Headers();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return headers;
}

function problemOf(status, header, text) {
  const parsed = parse(text);
  const body = typeof parsed === 'object' && parsed !== null ? parsed : {};
  const seconds = Number(header('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(seconds) ? seconds : undefined;
  return new SallyportProblem({ status, body, requestId: header('x-request-id'), retryAfter });
}

function unreachable(cause) {
  const problem = new SallyportProblem({ title: 'The server cannot be reached' });
  problem.cause = cause;
  return problem;
}

async function readText(response) {
  try {
    return await response.text();
  } catch {
    return '';
  }
}

function parse(text) {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The event stream format of HTML §9.2.6: lines end with CR, LF or both, events with an empty line. */
async function readEvents(stream, onEvent) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  const event = { type: '', data: [], id: '' };
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    // A CR at the end may be half of a line end.
    const lines = rest.split(/\r\n|\n|\r(?=[^\n])/);
    rest = lines.pop() ?? '';
    if (rest.length > EVENT_MAX_CHARS) throw new SallyportProblem({ title: 'An event is too long' });
    for (const line of lines) readLine(event, line, onEvent);
  }
}

function readLine(event, line, onEvent) {
  if (line === '') {
    if (event.data.length > 0) onEvent({ type: event.type || 'message', data: event.data.join('\n'), id: event.id });
    event.type = '';
    event.data = [];
    return;
  }
  const colon = line.indexOf(':');
  const name = colon === -1 ? line : line.slice(0, colon);
  const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '');
  if (name === 'data') event.data.push(value);
  else if (name === 'event') event.type = value;
  else if (name === 'id' && !value.includes('\0')) event.id = value;
}
