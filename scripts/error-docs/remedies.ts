import type { ErrorCode } from '../../src/core/errors.ts';

/** What people need to know about a code beyond its row in the table of src/core/errors.ts. */
export type Remedy = {
  /** What is seen, and by whom. */
  readonly symptom: string;
  /** Why it happens, the likeliest reason first. */
  readonly cause: string;
  /** What to do about it. */
  readonly fix: string;
  /** No part of this version produces it. */
  readonly isReserved?: true;
};

/** One entry for each code, in the order of the table. */
export const REMEDIES: Readonly<Record<ErrorCode, Remedy>> = {
  bad_request: {
    symptom: 'A request is refused before anything is done with it.',
    cause:
      'A parameter is repeated, unknown or badly encoded; a single-valued header came twice; Content-Length and Transfer-Encoding contradict each other; verify was asked with an unknown option.',
    fix: 'Read `reason` of the log line. For verify, compare the query of the gateway’s address with the options in docs/traefik.md.',
  },
  ambiguous_target: {
    symptom: 'An address with `%2e`, `%2f`, `//`, `;` or control characters is refused.',
    cause: 'Gateway, Sallyport and service could read such a path in different ways, and a rule could be passed by.',
    fix: 'Call the plain form of the path. An application that needs encoded slashes cannot be served in this version.',
  },
  forwarded_headers_invalid: {
    symptom: 'Verify answers 400, or a request with doubled forwarded headers is refused.',
    cause:
      'The gateway does not send X-Forwarded-Method, -Proto, -Host and -Uri exactly once each, or the scheme is not that of the site’s public_url.',
    fix: 'Let the gateway set the headers itself and drop the client’s (docs/traefik.md). Behind another proxy, name that one in the gateway’s own list of trusted addresses.',
  },
  invalid_return_to: {
    symptom: 'A sign-in does not start.',
    cause:
      'return_to names a host that is neither of this site nor in login.return_to.origins, or an address of the sign-in itself.',
    fix: 'Use a path of the same host, or add the origin to login.return_to.origins.',
  },
  unknown_idp: {
    symptom: 'A sign-in with `idp=` does not start.',
    cause: 'The name is no key of `providers` in idps.yaml.',
    fix: 'Use one of those names, or leave the parameter out.',
  },
  login_loop: {
    symptom: 'After several sign-ins in a row a page names the likely cause.',
    cause:
      'The session cookie does not come back: its Domain does not cover the application’s host, it is Secure and the browser came over plain http, or the browser blocks cookies.',
    fix: 'Do what the page says: set sites.NAME.cookie.domain, or open the https address.',
  },
  transaction_missing: {
    symptom: 'The way back from the provider ends on this page.',
    cause:
      'The browser did not send the cookie of this sign-in: another browser or a private window began it, the page was opened from the history, the answer was used before, or the cookie was blocked.',
    fix: 'Start the sign-in again. If it happens each time, compare the host of redirect_uri with the one that the browser shows.',
  },
  transaction_expired: {
    symptom: 'The way back from the provider ends on this page after a long pause.',
    cause: 'The sign-in took longer than login.transaction_ttl (10 minutes).',
    fix: 'Start the sign-in again.',
  },
  callback_invalid: {
    symptom: 'The way back from the provider ends on this page.',
    cause:
      'The answer is malformed or not for this sign-in: the code was refused (`invalid_grant`), the ID token has another issuer, audience, nonce or signature, it is expired, or the clocks differ by more than clock_skew. A sign-out overtook the sign-in.',
    fix: 'Start the sign-in again. If it happens each time, read `reason` of the log line, check the clocks, and compare client_id and issuer with the provider’s.',
  },
  authentication_required: {
    symptom: 'A script gets 401 with `login_url`; a person is usually sent to the sign-in instead.',
    cause:
      'No session cookie, or one whose session has ended. `reason` tells which: no_cookie, unknown_session, token_expired, other_site, conflicting_cookies.',
    fix: 'Navigate the window to `login_url`. For conflicting_cookies, two cookies of one name reach this host: the answer removes both.',
  },
  invalid_token: {
    symptom: 'A program with `Authorization: Bearer` gets 401 with `error="invalid_token"`.',
    cause:
      'The token is expired, has another issuer, audience or type than bearer.issuers allows, or its signature does not fit the provider’s keys.',
    fix: 'Get a new token for one of the audiences of bearer.issuers. `reason` of the log line says which check failed.',
  },
  insufficient_user_authentication: {
    symptom: 'Signed in, but the resource asks for a stronger or fresher sign-in; people are sent there at once.',
    cause: 'The rule names acr or max_age, and the session has neither.',
    fix: 'Sign in again with the acr_values or max_age of WWW-Authenticate. If the provider never sends `acr`, configure it there.',
  },
  no_token_available: {
    symptom: 'A proxied call is refused although the user is signed in.',
    cause:
      'The provider gives no token for the service that the log line names (NO_TOKEN_AVAILABLE service=…): the sign-in does not cover its audience or scopes, or the client may not ask for them.',
    fix: 'Sign in again where the service is new. Else let the client ask for that audience at the provider, and compare the scopes with require_any and require_all.',
  },
  access_denied: {
    symptom: 'Signed in, but the page or call is refused.',
    cause:
      'The user lacks the role, group or scope of the route or of the verify address, or no route matches under verify.unmatched: deny.',
    fix: 'Read `reason`. Compare X-User-Roles with the rule; if roles are empty, correct claims.roles of the provider in idps.yaml.',
  },
  login_denied: {
    symptom: 'The provider’s sign-in worked or was cancelled, and no session was made.',
    cause: 'The user or the provider said no (`access_denied`), or login.allow does not admit the account.',
    fix: 'Sign in with another account, or add its e-mail domain, group or role to login.allow. E-mail domains need a verified address.',
  },
  csrf_failed: {
    symptom: 'A POST, PUT, PATCH or DELETE with the session cookie is refused.',
    cause:
      'Origin is not of this site or its origins, or the header of csrf.header is missing or has another value: in mode token that of another session.',
    fix: 'Send `X-CSRF: 1` with each unsafe call, and list the script’s origin in sites.NAME.origins.',
  },
  origin_not_allowed: {
    symptom: 'A script of another site cannot read, or its preflight fails.',
    cause: 'Its origin is not in sites.NAME.origins, or it asks to send a header that clients must not send.',
    fix: 'Add the exact origin, scheme and port included.',
  },
  untrusted_proxy: {
    symptom: 'Verify answers 403 to every request.',
    cause:
      'The gateway’s address is not in trusted_proxies, or verify.shared_secret is set and the gateway does not send it.',
    fix: 'Add the address of `client_ip` in the log line to trusted_proxies (SALLYPORT_TRUSTED_PROXIES).',
  },
  address_not_allowed: {
    symptom: 'A request from some networks is refused.',
    cause:
      'allow_ips of the route does not hold the client’s address, or a proxy in between is missing in trusted_proxies and hides it.',
    fix: 'Compare `client_ip` of the log line with allow_ips.',
  },
  not_found: {
    symptom: 'Nothing is there.',
    cause: 'No route matches the path, the route exists for verify alone, or verify has its own listener.',
    fix: 'Check the path against routes.yaml, letter case included.',
  },
  method_not_allowed: {
    symptom: 'The address exists but not for this method.',
    cause: 'The route or endpoint lists other methods; `Allow` names them.',
    fix: 'Use one of them, or add the method to the route.',
  },
  body_too_large: {
    symptom: 'An upload is refused and the connection closed.',
    cause: 'The body exceeds max_body of the route, limits.body_bytes, or 16 KiB on our own addresses.',
    fix: 'Raise max_body of that route.',
  },
  target_too_long: {
    symptom: 'A very long address is refused.',
    cause: 'Path and query together exceed limits.target_bytes.',
    fix: 'Send the data in a body, or raise the limit.',
  },
  unknown_host: {
    symptom: 'Every request to one host is refused.',
    cause: 'No site has this host, or the gateway changes Host and its X-Forwarded-Host is not believed.',
    fix: 'Add the host to sites.NAME.hosts, or the gateway to trusted_proxies.',
  },
  rate_limited: {
    symptom: 'Requests are refused until Retry-After has passed.',
    cause:
      'One address, session or user exceeded a rate_limit (`reason` names which), or a session has limits.websockets_per_session open WebSockets.',
    fix: 'Wait for Retry-After. If people are hit who do nothing unusual, raise average and burst; behind a gateway check trusted_proxies: without it all clients have the gateway’s address.',
  },
  internal_error: {
    symptom: 'Something failed on our side.',
    cause: 'A defect, or a session too large to keep: more than 256 KiB of claims.',
    fix: 'Find the request id in the log. For `session record exceeds`, let the provider send fewer claims; anything else please report.',
  },
  service_connect_failed: {
    symptom: 'A proxied call fails at once.',
    cause: 'The service’s address is wrong, it is down, or its certificate is not trusted.',
    fix: 'Check services.NAME.urls and tls; `reason` names the address and the network’s error.',
  },
  service_bad_response: {
    symptom: 'A proxied call fails after the service was reached.',
    cause: 'The service broke the connection or sent what is no HTTP, or headers that cannot be passed on.',
    fix: 'Look into the service’s own log at that time.',
  },
  idp_bad_response: {
    symptom: 'The way back from the provider ends on this page.',
    cause:
      'The provider’s token, UserInfo, key or metadata answer cannot be used: HTML, a redirect, no JSON, more than 1 MiB, a missing member, a signature algorithm outside id_token_algs, or wrong client credentials (`invalid_client`).',
    fix: 'Read `reason`. For invalid_client compare client_id, the secret and client_auth.method; for algorithms set id_token_algs.',
  },
  token_audience_mismatch: {
    symptom: 'The way back from the provider ends on this page, or calls to one service are refused.',
    cause: 'The access token is not meant for any of audiences.accept, or not for the audience of the service.',
    fix: 'Let the provider issue the audience, or correct audiences.accept or the audience of the service; the log line says what was expected and received.',
  },
  store_unavailable: {
    symptom: 'Every request that needs a session is answered 503 with Retry-After; cookies stay.',
    cause: 'Redis or Valkey does not answer within command_timeout, refuses the credentials, or is full.',
    fix: 'Look for `the session store connection failed` in the log. Sessions go on when the store is back.',
  },
  idp_unavailable: {
    symptom: 'Nobody can sign in; live sessions go on.',
    cause: 'The provider is down, answers 5xx or 429, or its metadata has not been read since the start.',
    fix: 'Look for `provider metadata could not be read` in the log; it says why. Nothing has to be restarted.',
  },
  pdp_unavailable: {
    symptom: 'A call that needs an external decision is refused.',
    cause: 'The decision point does not answer.',
    fix: 'Restore it.',
    isReserved: true,
  },
  service_unavailable: {
    symptom: 'A proxied call waits and fails.',
    cause: 'All connections to the service are in use.',
    fix: 'Find out why the service is slow; raise services.NAME.pool.connections if it can take more.',
  },
  overloaded: {
    symptom: 'Requests are refused at once with Retry-After.',
    cause: 'limits.requests_in_flight, limits.connections or the queue of a service is full.',
    fix: 'Find out what is slow; more capacity or higher limits second.',
  },
  service_timeout: {
    symptom: 'A call, or the way back from the provider, fails after a pause.',
    cause: 'The service did not answer within its timeouts, or the provider within timeout.total.',
    fix: '`reason` names the address. Find out why it is slow before raising the deadline.',
  },
};
