import { isDeepStrictEqual } from 'node:util';
import { type AddressMatcher, compileAddressMatcher } from './core/address.ts';
import type { AppServices } from './core/app-answers.ts';
import { type Audit, createAudit } from './core/audit.ts';
import { createBearerTokens } from './core/bearer.ts';
import { createNonceMaker, createProofCheck } from './core/bearer-proof.ts';
import type { Clock } from './core/clock.ts';
import type { Config, Idp } from './core/config/types.ts';
import type { RateLimit } from './core/config/types-rate.ts';
import { createKeyRing, hmacBase64url, type KeyRing } from './core/crypto.ts';
import { compileCsrfProofs } from './core/csrf.ts';
import { createDeniedLog } from './core/denied-log.ts';
import { HELPER_COOKIES } from './core/folded-names.ts';
import { compileIdentityHeaders, type IdentityHeaders } from './core/identity.ts';
import { L1 } from './core/l1.ts';
import type { Logger } from './core/log.ts';
import { createMetrics, type Metrics } from './core/metrics.ts';
import { compileOriginRules, type OriginRules } from './core/origin.ts';
import { createPace } from './core/pace.ts';
import { compileReplies } from './core/problem.ts';
import { createLocalLimiter, createSharedLimiter, type RateLimiter } from './core/rate-limit.ts';
import { compileReturnTo } from './core/return-to.ts';
import { compileRoutes } from './core/routes.ts';
import type { BearerTokens, Sessions } from './core/services.ts';
import { compileSessionBinding } from './core/session-binding.ts';
import { createSessions, type SessionsOptions } from './core/sessions.ts';
import { compileHelperCookie, compileReadableCookie, compileSessionCookie } from './core/set-cookie.ts';
import { compileSites } from './core/sites.ts';
import type { SessionStore } from './core/store.ts';
import { createMemoryStore } from './core/store-memory.ts';
import { createValkeyStore } from './core/store-valkey.ts';
import { compileTokenCookies } from './core/token-cookies.ts';
import type { VerifyServices } from './core/verify.ts';
import { compileVerifyOptions } from './core/verify-options.ts';
import { buildPrincipal } from './flows/claims.ts';
import type { FlowServices, SiteCookies } from './flows/flow.ts';
import { createIdp, type IdpRuntime } from './flows/idp.ts';
import { introspectToken } from './flows/introspection.ts';
import { connectRefresh } from './flows/refresh-wiring.ts';
import { connectTokens } from './flows/service-token-wiring.ts';

/** What everything is made from. */
export type Ground = { readonly config: Config; readonly log: Logger; readonly clock: Clock };

/** Everything a configuration makes, before any listener is bound. */
export type Parts = {
  readonly app: AppServices;
  readonly flows: FlowServices;
  readonly verify: VerifyServices;
  readonly origin: OriginRules;
  readonly trusted: AddressMatcher;
  readonly store: SessionStore;
  readonly idps: readonly IdpRuntime[];
  readonly live: Live;
  /** From now on metrics read from these parts. */
  activate(): void;
  /** End connections to the store and the providers that no parts in `others` use. */
  close(others: readonly Parts[]): Promise<void>;
};

/** What metrics read from; of the parts that serve, while reloads come and go. */
export type Live = { store: SessionStore; l1: L1 | undefined; idps: readonly IdpRuntime[] };

/** A login's tombstone outlives its transaction by this much: clocks of several machines differ (D-18). */
const CLOCK_SKEW_MS = 60_000;

/**
 * Make the parts of a server. Providers and the store begin to connect in the background.
 * @param previous parts of the version before: its counters go on, and so do its store (with the sessions that only
 * memory holds) and its providers where their settings are the same. Caches of what settings decide begin anew.
 */
export function createParts(ground: Ground, previous?: Parts): Parts {
  const { config, log, clock } = ground;
  const ring = createKeyRing(config.sealKeys);
  const sites = compileSites(config);
  const trusted = compileAddressMatcher(config.trustedProxies);
  const origin = compileOriginRules(config);
  const store = previous !== undefined && hasSameStore(previous, config) ? previous.store : createStore(ground);
  const l1 = createL1(config, store);
  const live: Live = previous?.live ?? { store, l1, idps: [] };
  const metrics = previous?.app.metrics ?? createLiveMetrics(live, clock);
  const pace = previous?.flows.pace ?? createPace();
  const idps = config.idps.map((idp) => {
    const same = previous?.idps.find((runtime) => isDeepStrictEqual(runtime.idp, idp));
    return same ?? createIdp({ idp, clock, log, metrics, pace });
  });
  if (previous === undefined) live.idps = idps;
  const audit = createAudit(log);
  const identity = createIdentity(config, log, audit);
  const replies = compileReplies(config, origin);
  const sessions = createSessionService(ground, { store, l1, ring, identity });
  const grantParts = { ...ground, store, sessions, ring, identity, idps, metrics, audit };
  const grants = { refresh: connectRefresh(grantParts), tokens: connectTokens({ ...grantParts, sites }) };
  const bearer = createBearer(ground, idps, identity, ring, trusted);
  const returnTo = compileReturnTo({
    authPaths: [config.paths.auth, config.paths.apiAuth],
    origins: config.login.returnTo.origins,
  });
  const routes = compileRoutes(config.routes);
  const options = compileVerifyOptions(config);
  const denied = createDeniedLog(config.log.deniedPerSecond, clock);
  const binding = compileSessionBinding({ settings: config.session.binding, trusted, sessions, audit });
  const csrf = compileCsrfProofs(config, ring);
  const shared = { config, sites, clock, log, metrics, replies, sessions, binding, returnTo, csrf, pace };
  return {
    app: { ...shared, trusted, denied, audit, flight: { count: 0 } },
    flows: { ...shared, store, ring, audit, idps: byName(idps), ...grants, ...createFlowTools(ground, store, ring) },
    verify: { ...shared, routes, freshness: grants.refresh, tokens: grants.tokens, bearer, identity, options, trusted },
    origin,
    trusted,
    store,
    idps,
    live,
    activate: () => void Object.assign(live, { store, l1, idps }),
    async close(others) {
      await Promise.all([grants.refresh.close(), grants.tokens.close()]);
      l1?.close();
      const unused = idps.filter((idp) => !others.some((parts) => parts.idps.includes(idp)));
      const isStoreUsed = others.some((parts) => parts.store === store);
      await Promise.all([...unused.map((idp) => idp.close()), isStoreUsed ? undefined : store.close()]);
    },
  };
}

function createLiveMetrics(live: Live, clock: Clock): Metrics {
  return createMetrics({
    storeReachable: () => live.store.status().reachable,
    storeReads: () => live.store.reads,
    storeUnreplicated: () => live.store.status().unreplicated,
    l1() {
      const { l1 } = live;
      return l1 && { counts: l1.counts, size: l1.size, bytes: l1.bytes, isCurrent: l1.isCurrent(clock.now()) };
    },
    outboundSockets: () => live.idps.reduce((sum, idp) => sum + idp.sockets(), 0),
  });
}

function hasSameStore(previous: Parts, { store, limits }: Config): boolean {
  const { store: before, limits: limitsBefore } = previous.app.config;
  return isDeepStrictEqual(before, store) && limitsBefore.pendingStoreReads === limits.pendingStoreReads;
}

function createStore({ config, log, clock }: Ground): SessionStore {
  const { store, limits } = config;
  if (store.kind === 'memory') return createMemoryStore();
  const audit = createAudit(log);
  return createValkeyStore({
    redis: store.redis,
    onError: (error) => log.warn({ err: error }, 'the session store connection failed; reconnecting'),
    onUnreplicated: (write) => audit('write_not_replicated', { reason: write }),
    pendingReadsMax: limits.pendingStoreReads,
    // Without a cache, too: open WebSockets must hear of the end of their session (D-32).
    tracking: {
      heartbeatMs: store.heartbeatMs,
      clock,
      onRefused: (reply) => log.warn({ reply }, 'the store refuses CLIENT TRACKING: each request reads its session'),
    },
  });
}

function createL1({ store: { l1 } }: Config, { changes }: SessionStore): L1 | undefined {
  return l1 && changes && new L1({ changes, maxEntries: l1.maxEntries, maxBytes: l1.maxBytes });
}

function createIdentity(config: Config, log: Logger, audit: Audit): IdentityHeaders {
  return compileIdentityHeaders(config.identityHeaders, {
    onOversize: (bytes) => log.warn({ bytes }, 'identity headers of a session exceed 4 KiB; gateways may refuse them'),
    onControl: (name) => audit('identity_value_dropped', { reason: `control characters in ${name}` }),
  });
}

function createSessionService(
  { config, log, clock }: Ground,
  parts: Pick<SessionsOptions, 'store' | 'l1' | 'ring' | 'identity'>,
): Sessions {
  return createSessions({
    ...parts,
    clock,
    settings: config.session,
    tombstoneTtlMs: tombstoneTtlMs(config),
    onBackgroundError: (error) => log.warn({ err: error }, 'a session could not be touched'),
  });
}

/** As long as something may come that would revive what was ended: a login under way, or a refresh cookie. */
function tombstoneTtlMs({ login, session, compat }: Config): number {
  const savedMs = compat.tokenCookies?.refreshToken === undefined ? 0 : session.absoluteMs;
  return Math.max(login.transactionTtlMs, savedMs) + CLOCK_SKEW_MS;
}

/** Bearer tokens by the keys and claim mappings of the providers; undefined if they are off. */
function createBearer(
  { config, clock }: Ground,
  idps: readonly IdpRuntime[],
  identity: IdentityHeaders,
  ring: KeyRing,
  trusted: AddressMatcher,
): BearerTokens | undefined {
  const { enabled, cacheEntries, dpop } = config.bearer;
  if (!enabled) return undefined;
  const providers = byName(idps);
  const issuers = config.bearer.issuers.flatMap((settings) => {
    const provider = providers.get(settings.provider);
    const mapping = providers.get(settings.claimsLike);
    if (provider === undefined || mapping === undefined) return [];
    // Whatever sources a login reads, the claims of a bearer are those of the token.
    const idp: Idp = { ...mapping.idp, claimsFrom: ['id_token'] };
    return {
      settings,
      keys: provider.keys,
      keysMaxAgeMs: provider.idp.metadataRefreshMs,
      ...(settings.introspection && { introspect: (token: string) => introspectToken(provider, token) }),
      principalOf: (claims: Parameters<typeof buildPrincipal>[1]) => buildPrincipal(idp, claims, undefined),
    };
  });
  const nonceOf = dpop.nonce ? createNonceMaker(ring) : undefined;
  const proofs = createProofCheck({ clock, maxAgeMs: dpop.proofMaxAgeMs, nonceOf });
  return createBearerTokens({
    issuers,
    cacheEntries,
    identity,
    identityHeaders: config.identityHeaders,
    clock,
    proofs,
    trusted,
  });
}

/** What flows alone have of a configuration. */
function createFlowTools(
  { config, log }: Ground,
  store: SessionStore,
  ring: KeyRing,
): Pick<FlowServices, 'cookies' | 'tokenCookies' | 'loginLimit' | 'directGrant'> {
  const { directGrant } = config.compat;
  const grantLimit = createStoreLimiter('grant', directGrant?.rateLimit, store, ring);
  return {
    directGrant: directGrant && grantLimit && { limit: grantLimit, returnToken: directGrant.returnToken },
    cookies: compileCookies(config),
    tokenCookies: compileTokenCookies(config, ring, log),
    loginLimit: createStoreLimiter('login', config.login.rateLimit, store, ring),
  };
}

/** A limit for all processes that share the store (D-43); in memory where one process has the store to itself. */
function createStoreLimiter(
  name: string,
  limit: RateLimit | undefined,
  { counters }: SessionStore,
  ring: KeyRing,
): RateLimiter | undefined {
  if (limit === undefined) return undefined;
  const key = ring.find(ring.writerId, 'index');
  if (counters === undefined || key === undefined) return createLocalLimiter(limit);
  return createSharedLimiter(limit, { counters, name, hash: (text) => hmacBase64url(key, `rate ${text}`) });
}

function compileCookies(config: Config): ReadonlyMap<string, SiteCookies> {
  const { mode, cookie: name } = config.csrf;
  return new Map(
    config.sites.map((site) => {
      const { domain, secure, persistent } = site.cookie;
      const persistentMs = persistent ? config.session.absoluteMs : undefined;
      const cookies: SiteCookies = {
        session: compileSessionCookie(site.cookie, persistentMs),
        loop: compileHelperCookie(HELPER_COOKIES.loop, { secure }),
        left: compileHelperCookie(HELPER_COOKIES.left, { secure, domain }),
        csrf: mode === 'header' ? undefined : compileReadableCookie({ ...site.cookie, name }, persistentMs),
      };
      return [site.name, cookies];
    }),
  );
}

function byName(idps: readonly IdpRuntime[]): ReadonlyMap<string, IdpRuntime> {
  return new Map(idps.map((idp) => [idp.idp.name, idp]));
}
