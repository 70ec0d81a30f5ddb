import type { BearerSettings } from './types-bearer.ts';
import type { CompatSettings } from './types-compat.ts';
import type { CsrfSettings } from './types-csrf.ts';
import type { ClientAuthSettings, ForwardedParam, IdpEndpoints, IdpTls, SigningKey } from './types-idp.ts';
import type { Listeners } from './types-listen.ts';
import type { KeyedRateLimit, RateLimit } from './types-rate.ts';
import type { RefreshSettings } from './types-refresh.ts';
import type { HealthSettings, ServiceTimeouts, ServiceTls } from './types-service.ts';
import type { StoreSettings } from './types-store.ts';
import type { TelemetrySettings } from './types-telemetry.ts';
import type { ServiceTokenSettings } from './types-token.ts';
import type { WebSocketSettings } from './types-websocket.ts';

/**
 * The configuration as the rest of the program sees it: validated, complete, frozen, in base units (milliseconds,
 * bytes). Files spell keys in snake_case (config/*.yaml); these are the same things compiled.
 */
export type Config = {
  readonly sites: readonly Site[];
  readonly paths: Paths;
  readonly listen: Listeners;
  /** Processes that accept on the same ports; `auto` = as many as the process may use CPUs. */
  readonly workers: number | 'auto';
  readonly scheduling: 'normal' | 'batch';
  /** CIDR blocks in canonical text; the words `loopback` and `private` are expanded. */
  readonly trustedProxies: readonly string[];
  /** Cookies without `Secure`; only with loopback public URLs. */
  readonly insecureHttp: boolean;
  /** First one writes, all of them read (D-27). */
  readonly sealKeys: readonly SealKey[];
  /** Keys of /auth/jwks.json; the first one signs where none is chosen. */
  readonly signingKeys: readonly SigningKey[];
  readonly session: SessionSettings;
  readonly store: StoreSettings;
  readonly refresh: RefreshSettings;
  readonly login: LoginSettings;
  readonly compat: CompatSettings;
  readonly logout: {
    readonly postLogoutRedirectUri: string | undefined;
    readonly revokeTokens: boolean;
    /** Logout tokens are accepted, of the providers that have it too. */
    readonly backchannel: boolean;
    readonly frontchannel: boolean;
  };
  readonly verify: VerifySettings;
  /** In the order of the file. */
  readonly identityHeaders: readonly IdentityHeader[];
  readonly csrf: CsrfSettings;
  readonly cors: {
    readonly allowHeaders: readonly string[];
    readonly allowMethods: readonly string[];
    readonly exposeHeaders: readonly string[];
    readonly maxAgeMs: number;
  };
  readonly securityHeaders: {
    readonly hsts: { readonly maxAgeMs: number; readonly includeSubdomains: boolean } | undefined;
    readonly csp: string;
  };
  readonly limits: {
    readonly headerBytes: number;
    readonly targetBytes: number;
    readonly bodyBytes: number;
    readonly connections: number;
    readonly requestsInFlight: number;
    readonly pendingStoreReads: number;
    readonly webSocketsPerSession: number;
  };
  readonly shutdown: { readonly unreadyMs: number; readonly drainMs: number };
  readonly log: LogSettings;
  readonly metrics: { readonly enabled: boolean };
  /** undefined = off. */
  readonly telemetry?: TelemetrySettings | undefined;
  readonly idps: readonly Idp[];
  /** Name of the default provider; empty if users choose (D-25). */
  readonly defaultIdp: string;
  readonly bearer: BearerSettings;
  readonly services: readonly Service[];
  readonly routes: readonly Route[];
  /** SHA-256 (hex) of each loaded file, for the start log. */
  readonly files: readonly { readonly name: string; readonly sha256: string }[];
  /** Findings that do not stop the start, one line each. */
  readonly warnings: readonly string[];
};

/** A host group: one login host, one cookie, one provider (D-11). */
export type Site = {
  readonly name: string;
  /** Origin text without a trailing slash, e.g. `https://app.example.com`. */
  readonly publicUrl: string;
  /** Canonical lower-case hosts, with the port where it is not the scheme's default; `*.x` = exactly one label. */
  readonly hosts: readonly string[];
  readonly cookie: CookieSettings;
  /** Provider name; empty if users choose (D-25). */
  readonly idp: string;
  /** Allowed foreign origins, exact or `https://*.sub.domain` (one label). */
  readonly origins: readonly string[];
  readonly defaultReturnTo: string;
};

/** The session cookie of one site. */
export type CookieSettings = {
  readonly name: string;
  /** Without a leading dot; undefined = host-only. */
  readonly domain: string | undefined;
  readonly sameSite: 'lax' | 'strict' | 'none';
  readonly persistent: boolean;
  readonly partitioned: boolean;
  readonly secure: boolean;
};

/** Address prefixes of our own endpoints. No trailing slashes. */
export type Paths = {
  readonly auth: string;
  readonly apiAuth: string;
  readonly telemetry: string;
  /** Further verify addresses besides `<auth>/verify`, `/forward`, `/validate`. */
  readonly verify: readonly string[];
  /** Further health addresses besides `<auth>/health` and `/readyz`. */
  readonly health: readonly string[];
};

/** A server key: 32 bytes. */
export type SealKey = { readonly id: string; readonly secret: Buffer };

/** Limits and cookie-independent behaviour of sessions. */
export type SessionSettings = {
  readonly idleMs: number;
  readonly absoluteMs: number;
  /** 0 = no bound. */
  readonly maxPerUser: number;
  readonly checkSlides: boolean;
  readonly exposedClaims: readonly string[];
  readonly binding: BindingSettings;
};

/** What a session is tied to. */
export type BindingSettings = {
  readonly certificate: boolean;
  readonly agent: boolean;
  /** Prefix lengths; undefined = not tied to an address. */
  readonly address: { readonly v4Bits: number; readonly v6Bits: number } | undefined;
};

/** How logins run. */
export type LoginSettings = {
  readonly transactionTtlMs: number;
  readonly maxConcurrent: number;
  readonly returnTo: { readonly origins: readonly string[] };
  readonly loop: { readonly maxLogins: number; readonly windowMs: number };
  /** For each client address; undefined = none. */
  readonly rateLimit: RateLimit | undefined;
  readonly allow: {
    readonly emailDomains: readonly string[];
    readonly groups: readonly string[];
    readonly roles: readonly string[];
  };
};

/** How ForwardAuth answers. */
export type VerifySettings = {
  readonly gateway: 'traefik';
  readonly sharedSecret: string | undefined;
  readonly unmatched: 'session' | 'deny';
  readonly onFail: 'auto' | '401' | '302';
  readonly csrf: 'none' | 'origin' | 'proof';
  /** Answer while the token has expired and the provider is away (D-06). */
  readonly expiredToken: 'omit' | 'unavailable';
  readonly profiles: readonly VerifyProfile[];
};

/** Named set of verify options (D-02). */
export type VerifyProfile = {
  readonly name: string;
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly scopes: readonly string[];
  readonly acr: readonly string[];
  readonly maxAgeMs: number | undefined;
  readonly onFail: 'auto' | '401' | '302' | undefined;
  /** Whose token the answer carries. */
  readonly service: string | undefined;
};

/** One header of the allow answer and what it holds. */
export type IdentityHeader = {
  readonly name: string;
  readonly source:
    | { readonly kind: 'token'; readonly raw: boolean }
    | { readonly kind: 'principal'; readonly field: PrincipalField; readonly list: 'first' | { readonly join: string } }
    | { readonly kind: 'session'; readonly field: 'public_id' | 'idp' | 'acr' | 'auth_time' }
    | { readonly kind: 'claim'; readonly pointer: string; readonly list: 'first' | { readonly join: string } };
};

/** Fields of a principal that claims are mapped to (D-28). */
export type PrincipalField =
  | 'user_id'
  | 'username'
  | 'email'
  | 'email_verified'
  | 'name'
  | 'roles'
  | 'groups'
  | 'issuer';

/** Log output. */
export type LogSettings = {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  readonly access: 'none' | 'all';
  readonly deniedPerSecond: number;
};

/** An OpenID Provider. */
export type Idp = {
  readonly name: string;
  readonly issuer: string;
  /** undefined = discovery. */
  readonly endpoints: IdpEndpoints | undefined;
  readonly clientId: string;
  readonly clientAuth: ClientAuthSettings;
  readonly callbackPath: string;
  readonly scopes: readonly string[];
  readonly audiences: { readonly request: readonly string[]; readonly accept: readonly string[] };
  /** Origin for the server's own calls; the browser and `iss` keep the issuer. */
  readonly backchannelUrl: string | undefined;
  readonly authorizationParams: Readonly<Record<string, string>>;
  readonly forwardedParams: readonly ForwardedParam[];
  readonly responseMode: 'query' | 'form_post';
  readonly par: 'auto' | 'require' | 'never';
  readonly dpop: 'never' | 'require';
  readonly idTokenAlgs: readonly string[];
  readonly clockSkewMs: number;
  readonly userinfo: boolean;
  readonly timeout: { readonly connectMs: number; readonly totalMs: number };
  readonly metadataRefreshMs: number;
  /** Assumed token life if `expires_in` is missing. */
  readonly refreshWithoutExpiryMs: number;
  /** JSON Pointers by field, first that exists wins. */
  readonly claims: Readonly<Record<Exclude<PrincipalField, 'issuer'>, readonly string[]>>;
  readonly claimsFrom: readonly ('id_token' | 'userinfo' | 'access_token')[];
  readonly logout: { readonly mode: 'provider' | 'local'; readonly backchannel: boolean };
  readonly tls: IdpTls;
};

/** Something the proxy sends requests to. */
export type Service = {
  readonly name: string;
  /** Origins, e.g. `http://crud-a:8000`. */
  readonly urls: readonly string[];
  readonly token: ServiceTokenSettings;
  readonly timeouts: ServiceTimeouts;
  readonly pool: { readonly connections: number; readonly queue: number };
  /** undefined = no address is ever given up on. */
  readonly health: HealthSettings | undefined;
  /** Further tries of an idempotent request of which nothing was sent. */
  readonly retries: number;
  readonly tls: ServiceTls | undefined;
};

/** One entry of routes.yaml, defaults filled in. Paths are in the grammar of D-39, alternatives expanded. */
export type Route = {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly paths: readonly string[];
  /** Empty = every method. */
  readonly methods: readonly string[];
  /** undefined = exists for verify only. */
  readonly service: string | undefined;
  readonly auth: 'session' | 'bearer' | 'any' | 'optional' | 'none';
  readonly csrf: 'unsafe' | 'all' | 'none';
  readonly onUnauthenticated: 'auto' | '401' | 'login';
  readonly roles: readonly string[];
  readonly groups: readonly string[];
  readonly scopes: readonly string[];
  readonly allowIps: readonly string[];
  readonly identityHeaders: boolean;
  readonly cacheControl: 'no-store' | 'upstream';
  readonly bodyMaxBytes: number;
  readonly rateLimit: KeyedRateLimit | undefined;
  /** Deadlines that differ from the service's. */
  readonly timeouts: Partial<ServiceTimeouts>;
  /** Exact method and canonical path without a session. */
  readonly public: readonly { readonly method: string; readonly path: string }[];
  /** `opaque`: ambiguous paths pass, too; only on a verify route for whole hosts (D-07). */
  readonly pathMode: 'strict' | 'opaque';
  readonly rewrite: { readonly prefix: string; readonly to: string } | undefined;
  /** A stronger or fresher sign-in than any (RFC 9470). */
  readonly stepUp: { readonly acr: readonly string[]; readonly maxAgeMs: number | undefined } | undefined;
  /** undefined = an HTTP route; a WebSocket route takes handshakes alone. */
  readonly webSocket: WebSocketSettings | undefined;
  /** Where the entry stands, `routes.yaml:12:5`, for conflicts and `explain`. */
  readonly position: string;
};
