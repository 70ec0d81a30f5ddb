import type { IncomingHttpHeaders } from 'node:http';
import { Agent, type Dispatcher } from 'undici';
import { isSallyportError, SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { decodeBody, WholeResponse } from './outbound-response.ts';

/** What an outbound request may say. Text bodies only: nothing we send is anything else. */
export type OutboundRequest = {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | URLSearchParams | null | undefined;
};

/** The shape of `fetch` that oauth4webapi takes as `customFetch`. */
export type OutboundFetch = (url: string | URL, init?: OutboundRequest) => Promise<Response>;

/** HTTP towards one trust domain (D-35): own sockets, own CA, never shared with another. */
export type Outbound = {
  readonly fetch: OutboundFetch;
  /** Open sockets, for the metric. */
  sockets(): number;
  close(): Promise<void>;
};

/** Bounds of an outbound client. */
export type OutboundOptions = {
  readonly connectTimeoutMs: number;
  /** From the call to the last byte of the body. */
  readonly totalTimeoutMs: number;
  readonly bodyMaxBytes: number;
  /** PEM certificates to trust instead of the system's. */
  readonly ca: string | undefined;
  /** PEM certificate to present, with its private key (RFC 8705). */
  readonly cert: string | undefined;
  readonly key: string | undefined;
};

/**
 * Create the one way HTTP leaves the process: undici's dispatcher without the machinery of `fetch`, whose streams and
 * signals cost more than the call; no redirects, a total deadline, a bounded body read in full before the
 * answer is given.
 *
 * The call is detached from whoever waits for it: a browser that leaves cancels nothing (SPEC §4).
 * @throws `service_timeout` past a deadline, `idp_bad_response` for a body over the bound, `idp_unavailable` where no
 * answer could be had.
 */
export function createOutbound(options: OutboundOptions): Outbound {
  const agent = new Agent({
    connect: {
      timeout: options.connectTimeoutMs,
      rejectUnauthorized: true,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
      ...(options.cert === undefined || options.key === undefined ? {} : { cert: options.cert, key: options.key }),
    },
    headersTimeout: options.totalTimeoutMs,
    bodyTimeout: options.totalTimeoutMs,
    connections: 32,
    pipelining: 1,
    // One call at a time on a connection gains nothing by it.
    allowH2: false,
    keepAliveTimeout: LIMITS.idpKeepAliveMs,
    // The provider may ask for less, not for more.
    keepAliveMaxTimeout: LIMITS.idpKeepAliveMs,
    maxResponseSize: options.bodyMaxBytes,
  });
  return {
    fetch: (url, init) => send(agent, options, url, init),
    sockets: () =>
      Object.values(agent.stats).reduce((sum, stats) => sum + (stats?.connected ? Number(stats.connected) : 0), 0),
    close: () => agent.destroy(),
  };
}

async function send(
  agent: Agent,
  { totalTimeoutMs, bodyMaxBytes }: OutboundOptions,
  target: string | URL,
  { method = 'GET', headers = {}, body }: OutboundRequest = {},
): Promise<Response> {
  const { origin, pathname, search } = new URL(target);
  const where = origin + pathname;
  try {
    const { status, fields, chunks } = await new Promise<Answer>((resolve, reject) => {
      agent.dispatch(
        {
          origin,
          path: pathname + search,
          method,
          headers: { 'user-agent': 'sallyport', 'accept-encoding': 'identity', ...headers },
          body: body === undefined || body === null ? null : String(body),
        },
        new Call(totalTimeoutMs, resolve, () => reject(tooLate(`${where} deadline`)), reject),
      );
    });
    return new WholeResponse(status, fields, decodeBody(Buffer.concat(chunks), fields, bodyMaxBytes));
  } catch (error) {
    throw classify(error, where);
  }
}

/** An answer as it came. */
type Answer = { readonly status: number; readonly fields: [string, string][]; readonly chunks: readonly Buffer[] };

/** One call under way: undici's handler, and its deadline from the call to the last byte of the body. */
class Call implements Dispatcher.DispatchHandler {
  readonly #timer: NodeJS.Timeout;
  readonly #onAnswer: (answer: Answer) => void;
  readonly #onError: (error: Error) => void;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #isLate = false;
  #status = 0;
  #fields: [string, string][] = [];

  constructor(
    totalTimeoutMs: number,
    onAnswer: (answer: Answer) => void,
    onLate: () => void,
    onError: (error: Error) => void,
  ) {
    this.#onAnswer = onAnswer;
    this.#onError = onError;
    this.#timer = setTimeout(() => {
      this.#isLate = true;
      onLate();
      this.#controller?.abort(new Error('past its deadline'));
    }, totalTimeoutMs);
    this.#timer.unref();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    // It waited for a connection until nobody wanted it any more.
    if (this.#isLate) controller.abort(new Error('past its deadline'));
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    this.#status = status;
    this.#fields = pairsOf(headers);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    clearTimeout(this.#timer);
    this.#onAnswer({ status: this.#status, fields: this.#fields, chunks: this.#chunks });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    clearTimeout(this.#timer);
    this.#onError(error);
  }
}

function pairsOf(headers: IncomingHttpHeaders): [string, string][] {
  const pairs: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each !== undefined) pairs.push([name, each]);
  }
  return pairs;
}

/** By type and code only, never by message. The URL's query stays out of the log. */
function classify(error: unknown, where: string): SallyportError {
  if (isSallyportError(error)) return error;
  const code = codeOf(error);
  const detail = `${where} ${code ?? 'failed'}`;
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return tooLate(detail, error);
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return new SallyportError('idp_bad_response', { detail, cause: error });
  return new SallyportError('idp_unavailable', { detail, cause: error, retryAfterS: 5 });
}

function tooLate(detail: string, cause?: unknown): SallyportError {
  const publicDetail = 'The identity provider did not answer in time. Try again shortly.';
  return new SallyportError('service_timeout', { detail, cause, publicDetail, retryAfterS: 5 });
}

function codeOf(error: unknown): string | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause as Error & { code?: unknown }).code;
    if (typeof code === 'string') return code;
  }
  return undefined;
}
