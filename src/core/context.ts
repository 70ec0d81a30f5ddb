// hot: bench/context.ts
import type { HttpRequest, HttpResponse } from 'uWebSockets.js';
import type { PeerTrust } from './address.ts';
import type { Clock } from './clock.ts';
import { findLineProblems, PROBLEM_DUPLICATE, PROBLEM_FORWARDED, PROBLEM_FRAMING } from './context-problems.ts';
import { decimal, list, pathOf, queryOf } from './context-values.ts';

/** One request, copied in one synchronous pass: one hidden class, strings only. Empty text stands for an absent header. */
export class RequestContext {
  method = '';
  /** Raw path and query, as sent, without `?`. */
  path = '';
  query = '';
  host = '';
  cookie = '';
  origin = '';
  referer = '';
  accept = '';
  authorization = '';
  dpop = '';
  contentType = '';
  secFetchSite = '';
  secFetchMode = '';
  secFetchDest = '';
  secPurpose = '';
  forwardedFor = '';
  forwardedHost = '';
  forwardedMethod = '';
  forwardedProto = '';
  forwardedUri = '';
  corsMethod = '';
  corsHeaders = '';
  csrfProof = '';
  gatewaySecret = '';
  upgrade = '';
  webSocketKey = '';
  userAgent = '';
  /** Declared body length; -1 = none declared. */
  contentLength = -1;
  chunked = false;
  /** `X-Forwarded-Tls-Client-Cert`, and `Client-Cert` (RFC 9440); `-` = sent empty. */
  forwardedCertificate = '';
  clientCertificate = '';
  /** Every header line as it came, name and value in turn, where the reader keeps them; else empty. */
  fields: string[] = [];
  problems = 0;
  /** The peer is one of the trusted proxies. */
  trusted = false;
  /** When it was read, ms since the epoch: the time of whatever is decided in the same turn. Unset, all is over. */
  readAt = Number.POSITIVE_INFINITY;
  /** What the listener calls its requests, and which of them this is: together the request id. */
  idPrefix = '';
  idNumber = 0;
  /** Where the peer's address is asked for at first need; undefined from the moment when it cannot be asked any more. */
  source: HttpResponse | undefined;
  #peer: Uint8Array | undefined;
  #requestId = '';

  /** Address bytes of the socket's peer. */
  get peer(): Uint8Array {
    this.#peer ??= new Uint8Array(this.source?.getRemoteAddress() ?? new ArrayBuffer(4));
    return this.#peer;
  }

  set peer(address: Uint8Array | undefined) {
    this.#peer = address;
  }

  /** Names the request in answers and logs: base64url characters alone. */
  get requestId(): string {
    if (this.#requestId === '') this.#requestId = this.idPrefix + this.idNumber.toString(36);
    return this.#requestId;
  }

  set requestId(id: string) {
    this.#requestId = id;
  }
}

const COLON = 0x3a;
const SPARE_CONTEXTS_MAX = 256;
/** Fills contexts. One per listener. */
export type ContextReader = {
  /** Copy a request; the next call re-uses the object unless `keep` is called. @param method asked for where unknown. */
  read(res: HttpResponse, req: HttpRequest, method?: string): RequestContext;
  /** The same of HTTP/2. @param fields names and values in turn, with pseudo-header fields (RFC 9113 §8.3). */
  readFields(fields: readonly string[], peer: Uint8Array): RequestContext;
  /** The last context outlives its turn (an await follows): the next request gets another object. */
  keep(): void;
  /** Nobody reads a kept context any more: it is emptied, and another request may have it. Once for each. */
  release(context: RequestContext): void;
};

/**
 * Create a reader with one preallocated context (D-08).
 * @param options.csrfHeader lower-case name of the CSRF proof header; targetMaxBytes: path and query together.
 * @param options.keepsFields for a listener that passes headers on: a second pass over them would cost 0.24 µs for each.
 */
export function createContextReader(options: {
  readonly trusted: PeerTrust;
  readonly clock: Clock;
  readonly csrfHeader: string;
  readonly targetMaxBytes: number;
  readonly keepsFields?: boolean;
}): ContextReader {
  let context = new RequestContext();
  const spare: RequestContext[] = [];
  const { trusted, clock, csrfHeader, targetMaxBytes, keepsFields = false } = options;
  const visit = (name: string, value: string): void => {
    if (keepsFields) context.fields.push(name, value);
    readHeader(context, name, value, csrfHeader);
  };
  return {
    read(res, req, method) {
      reset(context);
      context.method = method ?? req.getCaseSensitiveMethod();
      context.path = req.getUrl();
      context.query = req.getQuery() ?? '';
      context.problems |= findLineProblems(context.method, context.path, context.query, targetMaxBytes);
      req.forEach(visit);
      if (context.chunked && context.contentLength !== -1) context.problems |= PROBLEM_FRAMING;
      context.source = res;
      context.readAt = clock.now();
      context.trusted = trusted === 'all' || trusted(context.peer);
      return context;
    },
    readFields(fields, peer) {
      reset(context);
      readFieldList(context, fields, csrfHeader);
      context.problems |= findLineProblems(context.method, context.path, context.query, targetMaxBytes);
      context.peer = peer;
      context.readAt = clock.now();
      context.trusted = trusted === 'all' || trusted(peer);
      return context;
    },
    keep() {
      context = spare.pop() ?? new RequestContext();
    },
    release(kept) {
      reset(kept);
      if (spare.length < SPARE_CONTEXTS_MAX) spare.push(kept);
    },
  };
}

function readFieldList(context: RequestContext, fields: readonly string[], csrfHeader: string): void {
  context.method = '';
  context.path = '';
  context.query = '';
  let authority = '';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    if (name.charCodeAt(0) !== COLON) readHeader(context, name, value, csrfHeader);
    else if (name === ':method') context.method = value;
    else if (name === ':path') {
      context.path = pathOf(value);
      context.query = queryOf(value);
    } else if (name === ':authority') authority = value;
  }
  if (authority === '') return;
  // RFC 9113 §8.3.1: a Host that says something else makes the request malformed.
  if (context.host !== '' && context.host !== authority) context.problems |= PROBLEM_DUPLICATE;
  context.host = authority;
}

/** Switch on the name's length first: most of a browser's headers are of no interest to us (D-08). */
function readHeader(context: RequestContext, name: string, value: string, csrfHeader: string): void {
  switch (name.length) {
    case 4:
      if (name === 'host') context.host = single(context, context.host, value);
      else if (name === 'dpop') context.dpop = single(context, context.dpop, value);
      break;
    case 6:
      if (name === 'cookie') context.cookie = context.cookie === '' ? value : `${context.cookie}; ${value}`;
      else if (name === 'accept') context.accept = value;
      else if (name === 'origin') context.origin = single(context, context.origin, value);
      break;
    case 7:
      if (name === 'referer') context.referer = single(context, context.referer, value);
      else if (name === 'upgrade') context.upgrade = value;
      else if (name === 'trailer') context.problems |= PROBLEM_FRAMING;
      break;
    case 10:
      if (name === 'user-agent') context.userAgent = value;
      break;
    case 11:
      if (name === 'sec-purpose') context.secPurpose = value;
      else readCertificate(context, name, value);
      break;
    case 12:
      if (name === 'content-type') context.contentType = single(context, context.contentType, value);
      break;
    case 13:
      if (name === 'authorization') context.authorization = single(context, context.authorization, value);
      break;
    case 14:
      readFourteen(context, name, value);
      break;
    case 15:
      if (name === 'x-forwarded-uri') context.forwardedUri = family(context, context.forwardedUri, value);
      else if (name === 'x-forwarded-for') context.forwardedFor = list(context.forwardedFor, value);
      break;
    case 16:
      if (name === 'x-forwarded-host') context.forwardedHost = family(context, context.forwardedHost, value);
      break;
    case 17:
      if (name === 'x-forwarded-proto') context.forwardedProto = family(context, context.forwardedProto, value);
      else if (name === 'transfer-encoding') readTransferEncoding(context, value);
      else if (name === 'sec-websocket-key') context.webSocketKey = single(context, context.webSocketKey, value);
      break;
    case 18:
      if (name === 'x-forwarded-method') context.forwardedMethod = family(context, context.forwardedMethod, value);
      else if (name === 'x-sallyport-secret') context.gatewaySecret = single(context, context.gatewaySecret, value);
      break;
    case 27:
      readCertificate(context, name, value);
      break;
    case 29:
      if (name === 'access-control-request-method') context.corsMethod = value;
      break;
    case 30:
      if (name === 'access-control-request-headers') context.corsHeaders = value;
      break;
  }
  if (name === csrfHeader) context.csrfProof = single(context, context.csrfProof, value);
}

function readFourteen(context: RequestContext, name: string, value: string): void {
  if (name === 'sec-fetch-site') context.secFetchSite = single(context, context.secFetchSite, value);
  else if (name === 'sec-fetch-mode') context.secFetchMode = single(context, context.secFetchMode, value);
  else if (name === 'sec-fetch-dest') context.secFetchDest = single(context, context.secFetchDest, value);
  else if (name === 'content-length') {
    const length = decimal(value);
    if (context.contentLength !== -1 || length === -1) context.problems |= PROBLEM_FRAMING;
    else context.contentLength = length;
  }
}

/** Exactly `chunked`, once: a second line or another coding is read differently by other parsers (SECURITY §3.2). */
function readTransferEncoding(context: RequestContext, value: string): void {
  if (context.chunked || value !== 'chunked') context.problems |= PROBLEM_FRAMING;
  context.chunked = true;
}

/** Two certificates from one gateway cannot both be the client's (FH-097). */
function readCertificate(context: RequestContext, name: string, value: string): void {
  const seen = value === '' ? '-' : value;
  if (name === 'client-cert') context.clientCertificate = family(context, context.clientCertificate, seen);
  else if (name === 'x-forwarded-tls-client-cert')
    context.forwardedCertificate = family(context, context.forwardedCertificate, seen);
}

/** Repeated lines become one value that equals no single one (RFC 9110 §5.3): no answer speaks for either of them. */
function single(context: RequestContext, present: string, value: string): string {
  if (present === '') return value;
  context.problems |= PROBLEM_DUPLICATE;
  return `${present}, ${value}`;
}

function family(context: RequestContext, present: string, value: string): string {
  if (present !== '') context.problems |= PROBLEM_FORWARDED;
  return value;
}

function reset(context: RequestContext): void {
  context.host = '';
  context.cookie = '';
  context.origin = '';
  context.referer = '';
  context.accept = '';
  context.authorization = '';
  context.dpop = '';
  context.contentType = '';
  context.secFetchSite = '';
  context.secFetchMode = '';
  context.secFetchDest = '';
  context.secPurpose = '';
  context.forwardedFor = '';
  context.forwardedHost = '';
  context.forwardedMethod = '';
  context.forwardedProto = '';
  context.forwardedUri = '';
  context.corsMethod = '';
  context.corsHeaders = '';
  context.csrfProof = '';
  context.gatewaySecret = '';
  context.upgrade = '';
  context.webSocketKey = '';
  context.userAgent = '';
  context.contentLength = -1;
  context.chunked = false;
  context.forwardedCertificate = '';
  context.clientCertificate = '';
  if (context.fields.length > 0) context.fields = [];
  context.problems = 0;
  context.source = undefined;
  context.peer = undefined;
  context.requestId = '';
}
