import { Agent, fetch as undiciFetch } from 'undici';
import { SallyportError } from './errors.ts';
import { LIMITS } from './limits.ts';

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
 * Create the one way HTTP leaves the process: undici's own fetch (the global one belongs to another undici and refuses
 * our agent), no redirects, a total deadline, a bounded body read in full before the answer is given.
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
    keepAliveTimeout: LIMITS.idpKeepAliveMs,
    // The provider may ask for less, not for more.
    keepAliveMaxTimeout: LIMITS.idpKeepAliveMs,
    maxResponseSize: options.bodyMaxBytes,
  });
  return {
    fetch: (url, init) => boundedFetch(agent, options, url, init),
    sockets: () =>
      Object.values(agent.stats).reduce((sum, stats) => sum + (stats?.connected ? Number(stats.connected) : 0), 0),
    close: () => agent.destroy(),
  };
}

async function boundedFetch(
  agent: Agent,
  options: OutboundOptions,
  url: string | URL,
  init: OutboundRequest = {},
): Promise<Response> {
  const deadline = AbortSignal.timeout(options.totalTimeoutMs);
  const request = {
    method: init.method ?? 'GET',
    headers: init.headers ?? {},
    body: init.body === undefined || init.body === null ? null : String(init.body),
    redirect: 'manual' as const,
    dispatcher: agent,
    signal: deadline,
  };
  try {
    const response = await undiciFetch(url, request);
    const body = await readBounded(response.body, options.bodyMaxBytes);
    const bodiless = response.status === 204 || response.status === 304;
    return new Response(bodiless ? null : body, { status: response.status, headers: [...response.headers] });
  } catch (error) {
    throw classify(error, deadline, url);
  }
}

async function readBounded(body: AsyncIterable<unknown> | null, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    const bytes = Buffer.from(chunk as Uint8Array);
    size += bytes.length;
    if (size > maxBytes) throw new SallyportError('idp_bad_response', { detail: `answer above ${maxBytes} bytes` });
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** By type and code only, never by message. The URL's query stays out of the log. */
function classify(error: unknown, deadline: AbortSignal, url: string | URL): SallyportError {
  if (error instanceof SallyportError) return error;
  const { origin, pathname } = new URL(url);
  const code = codeOf(error);
  const detail = `${origin}${pathname} ${deadline.aborted ? 'deadline' : (code ?? 'failed')}`;
  if (deadline.aborted || code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return new SallyportError('service_timeout', {
      detail,
      cause: error,
      publicDetail: 'The identity provider did not answer in time. Try again shortly.',
      retryAfterS: 5,
    });
  }
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return new SallyportError('idp_bad_response', { detail, cause: error });
  return new SallyportError('idp_unavailable', { detail, cause: error, retryAfterS: 5 });
}

function codeOf(error: unknown): string | undefined {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause as Error & { code?: unknown }).code;
    if (typeof code === 'string') return code;
  }
  return undefined;
}
