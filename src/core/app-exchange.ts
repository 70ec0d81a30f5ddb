import type { HttpResponse, us_socket_context_t } from 'uWebSockets.js';
import type { RequestContext } from './context.ts';
import {
  PROBLEM_DUPLICATE,
  PROBLEM_FORWARDED,
  PROBLEM_FRAMING,
  PROBLEM_METHOD,
  PROBLEM_TARGET,
  PROBLEM_TARGET_LENGTH,
} from './context-problems.ts';
import { SallyportError } from './errors.ts';

/** The requests of one configuration that are under way; what they use is kept until there are none. */
export type Flight = { count: number };

/** One request under way, whatever its protocol. */
export type BaseExchange = {
  readonly context: RequestContext;
  readonly startedAt: number;
  readonly flight: Flight;
  /** False once the client has left or the answer is written: the native response must not be touched then. */
  open: boolean;
  /** The service whose token went with the request, for the access line; empty = none. */
  tokenService: string;
};

/** One request under way on a native connection. Everything that writes an answer goes through it. */
export type Exchange = BaseExchange & {
  readonly res: HttpResponse;
  /** Runs once if the client leaves before the answer is written. */
  onAbort: (() => void) | undefined;
  /** Set for a GET with a handshake key of the right length: what an upgrade needs. */
  readonly socketContext: us_socket_context_t | undefined;
};

/** What the parser lets through and we do not (SECURITY §3), before any side effect. */
export function findRequestProblem(context: RequestContext, overloaded: boolean): SallyportError | undefined {
  const { problems } = context;
  if (overloaded) return new SallyportError('overloaded', { retryAfterS: 1 });
  if (problems === 0) return undefined;
  if ((problems & PROBLEM_METHOD) !== 0) {
    // RFC 9110 §15.5.6 asks for Allow; which of them this address takes is not known yet.
    const headers = [['allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS']] as const;
    return new SallyportError('method_not_allowed', { detail: 'unknown method', headers });
  }
  if ((problems & PROBLEM_FRAMING) !== 0) return new SallyportError('bad_request', { detail: 'ambiguous framing' });
  if ((problems & PROBLEM_TARGET_LENGTH) !== 0) return new SallyportError('target_too_long');
  if ((problems & PROBLEM_TARGET) !== 0) return new SallyportError('ambiguous_target', { detail: 'characters' });
  if ((problems & PROBLEM_DUPLICATE) !== 0)
    return new SallyportError('bad_request', { detail: 'a single-valued header came twice' });
  if ((problems & PROBLEM_FORWARDED) !== 0 && context.trusted)
    return new SallyportError('forwarded_headers_invalid', { detail: 'repeated' });
  return undefined;
}

/** The body of a POST, at most `maxBytes`. @throws body_too_large, bad_request if the client leaves. */
export function readBody(exchange: Exchange, maxBytes: number): Promise<string> {
  const { res, context } = exchange;
  return new Promise((resolve, reject) => {
    if (context.contentLength > maxBytes) {
      reject(new SallyportError('body_too_large'));
      return;
    }
    const chunks: Buffer[] = [];
    let size = 0;
    exchange.onAbort = () => reject(new SallyportError('bad_request', { detail: 'the client left' }));
    res.onData((chunk, last) => {
      size += chunk.byteLength;
      if (size > maxBytes) {
        reject(new SallyportError('body_too_large'));
        return;
      }
      // The native memory is gone after this call: copy.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (last) resolve(Buffer.concat(chunks).toString('utf8'));
    });
  });
}
