/** One row of the error table: what the world sees of a code. */
export type ErrorEntry = {
  /** HTTP status of the answer. */
  readonly status: number;
  /** Short public title, the same for every occurrence (RFC 9457 `title`). */
  readonly title: string;
  /** Public sentence a person can act on; used where the thrower gives none. Never holds a secret. */
  readonly detail: string;
  /** Level of the log line that an occurrence writes. */
  readonly level: 'debug' | 'info' | 'warn' | 'error';
};

/**
 * The closed table of error codes (DECISIONS D-41). A code never changes its meaning; docs/errors.md is checked
 * against this table.
 */
export const ERRORS = {
  bad_request: entry(400, 'Bad request', 'The request is malformed. Check its method, headers and parameters.'),
  ambiguous_target: entry(
    400,
    'Ambiguous request target',
    'The path can be read in more than one way (dot segments, encoded separators, control characters). Send it in its plain form.',
  ),
  forwarded_headers_invalid: entry(
    400,
    'Forwarded headers invalid',
    'The gateway must send each header of its forwarded family exactly once and well formed.',
    'warn',
  ),
  invalid_return_to: entry(
    400,
    'Invalid return_to',
    'return_to must be a path of this host, or an https URL of a host that this sign-in serves.',
  ),
  unknown_idp: entry(400, 'Unknown identity provider', 'The idp parameter names no configured provider.'),
  login_loop: entry(
    400,
    'Sign-in loop stopped',
    'You were signed in several times in a row, but the session cookie did not come back.',
    'warn',
  ),
  transaction_missing: entry(
    400,
    'Sign-in not found',
    'This browser has no pending sign-in that matches the answer. Start the sign-in again.',
  ),
  transaction_expired: entry(400, 'Sign-in expired', 'The sign-in took too long. Start it again.'),
  callback_invalid: entry(
    400,
    'Sign-in answer refused',
    'The answer of the identity provider was not valid for this sign-in. Start it again.',
    'warn',
  ),
  authentication_required: entry(401, 'Authentication required', 'Sign in to continue.', 'debug'),
  invalid_token: entry(401, 'Invalid token', 'The bearer token was not accepted.'),
  insufficient_user_authentication: entry(
    401,
    'Stronger authentication required',
    'This resource needs a stronger or more recent sign-in.',
  ),
  no_token_available: entry(
    401,
    'No token available',
    'No valid token could be had for this service. Sign in again.',
    'warn',
  ),
  access_denied: entry(403, 'Access denied', 'You are signed in, but not allowed to do this.'),
  login_denied: entry(403, 'Sign-in denied', 'The sign-in was refused, or this account may not use this site.'),
  csrf_failed: entry(
    403,
    'Cross-site request refused',
    'The request lacks proof that it came from this site: an allowed Origin and the CSRF header.',
  ),
  origin_not_allowed: entry(403, 'Origin not allowed', 'Requests from this origin are not accepted.'),
  untrusted_proxy: entry(
    403,
    'Untrusted peer',
    'Only a gateway listed in trusted_proxies may ask this address.',
    'warn',
  ),
  address_not_allowed: entry(403, 'Address not allowed', 'Your network address may not use this resource.'),
  not_found: entry(404, 'Not found', 'Nothing is served at this address.', 'debug'),
  method_not_allowed: entry(405, 'Method not allowed', 'This address does not answer that method.'),
  body_too_large: entry(413, 'Body too large', 'The request body exceeds the limit of this address.'),
  target_too_long: entry(414, 'Target too long', 'The request target exceeds the limit.'),
  unknown_host: entry(421, 'Unknown host', 'This service does not serve the requested host.'),
  rate_limited: entry(429, 'Too many requests', 'Slow down and try again later.'),
  internal_error: entry(
    500,
    'Internal error',
    'Something failed on our side. The request id helps to find it.',
    'error',
  ),
  service_connect_failed: entry(
    502,
    'Service unreachable',
    'The service behind this address could not be reached.',
    'warn',
  ),
  service_bad_response: entry(
    502,
    'Service answer unusable',
    'The service behind this address sent an unusable answer.',
    'warn',
  ),
  idp_bad_response: entry(
    502,
    'Identity provider answer unusable',
    'The identity provider sent an answer that cannot be used. Try again, or tell the operator.',
    'warn',
  ),
  token_audience_mismatch: entry(
    502,
    'Token audience mismatch',
    'The token obtained is not meant for this service.',
    'error',
  ),
  store_unavailable: entry(
    503,
    'Session store unavailable',
    'Sessions cannot be read right now. You stay signed in; try again shortly.',
    'error',
  ),
  idp_unavailable: entry(
    503,
    'Identity provider unavailable',
    'The identity provider does not answer right now. Try again shortly.',
    'error',
  ),
  pdp_unavailable: entry(
    503,
    'Authorization unavailable',
    'The authorization service does not answer right now. Try again shortly.',
    'error',
  ),
  service_unavailable: entry(
    503,
    'Service unavailable',
    'The service behind this address is not available right now. Try again shortly.',
    'warn',
  ),
  overloaded: entry(503, 'Overloaded', 'Too many requests are in flight. Try again shortly.', 'warn'),
  service_timeout: entry(504, 'Service timed out', 'The service behind this address did not answer in time.', 'warn'),
} as const satisfies Record<string, ErrorEntry>;

/** A code of the closed table. */
export type ErrorCode = keyof typeof ERRORS;

/** What a thrower may add to a code. */
export type ErrorOptions = {
  /** For the log only: what exactly was wrong. Must not hold a token, code, cookie, verifier or secret. */
  readonly detail?: string;
  /** Replaces the table's public sentence. Plain text, no secret, no markup. */
  readonly publicDetail?: string;
  /** Seconds for `Retry-After`. */
  readonly retryAfterS?: number;
  /** Absolute URL where the caller can sign in. */
  readonly loginUrl?: string;
  /** Further response headers (for example `Allow`, `WWW-Authenticate`, expired cookies). */
  readonly headers?: readonly (readonly [string, string])[];
  /** The underlying failure, for the log. */
  readonly cause?: unknown;
  /** The service whose token is concerned, for the log. */
  readonly service?: string;
};

/**
 * The one error class of operating errors. Expected outcomes are values, programmer errors crash; this class is what
 * lies between, and app.ts turns it into a reply in one place.
 */
export class SallyportError extends Error {
  readonly code: ErrorCode;
  readonly detail: string | undefined;
  readonly publicDetail: string;
  readonly retryAfterS: number | undefined;
  readonly loginUrl: string | undefined;
  readonly headers: readonly (readonly [string, string])[];
  readonly service: string | undefined;

  constructor(code: ErrorCode, options: ErrorOptions = {}) {
    super(options.detail === undefined ? code : `${code}: ${options.detail}`, { cause: options.cause });
    this.name = 'SallyportError';
    this.code = code;
    this.detail = options.detail;
    this.publicDetail = options.publicDetail ?? ERRORS[code].detail;
    this.retryAfterS = options.retryAfterS;
    this.loginUrl = options.loginUrl;
    this.headers = options.headers ?? [];
    this.service = options.service;
  }

  /** HTTP status of this error's code. */
  get status(): number {
    return ERRORS[this.code].status;
  }
}

/** True for our own error class; anything else that is thrown is a defect or a dependency's failure. */
export function isSallyportError(value: unknown): value is SallyportError {
  return value instanceof SallyportError;
}

function entry(status: number, title: string, detail: string, level: ErrorEntry['level'] = 'info'): ErrorEntry {
  return { status, title, detail, level };
}
