import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileAddressMatcher, parseAddress } from '../../src/core/address.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import type { ReadFile } from '../../src/core/config/read-file.ts';
import type { Config, Route } from '../../src/core/config/types.ts';
import { RequestContext } from '../../src/core/context.ts';
import { createKeyRing } from '../../src/core/crypto.ts';
import { compileCsrfProofs } from '../../src/core/csrf.ts';
import type { Renewal } from '../../src/core/freshness.ts';
import { HeaderList } from '../../src/core/header-list.ts';
import { compileIdentityHeaders } from '../../src/core/identity.ts';
import { Late } from '../../src/core/late.ts';
import { compileReturnTo } from '../../src/core/return-to.ts';
import { compileRoutes } from '../../src/core/routes.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import type { Principal, SessionHot } from '../../src/core/session.ts';
import { compileSites, type SiteRuntime, type SiteTable } from '../../src/core/sites.ts';
import { type VerifyEntry, type VerifyServices, verify } from '../../src/core/verify.ts';
import { type Decision, LateDecision } from '../../src/core/verify-decision.ts';
import { compileVerifyOptions } from '../../src/core/verify-options.ts';

/** The instant of every test that does not move its clock, ms. */
export const NOW = 1_800_000_000_000;
/** A handle of the right form. */
export const HANDLE = 'kq3Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiVtXM';
/** Another one. */
export const OTHER_HANDLE = 'Zz9Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiVtXM';

const SEAL = 'kJ0sTQv3m2Yw8bZ1rXn4LcA7uHdE6pGf9oIiSxVyBQM';

const SITES = `version: 1
sites:
  main:
    public_url: https://app.example.test
    hosts: [app.example.test, "*.apps.example.test"]
    cookie: {domain: example.test}
    origins: [https://partner.test]
  plain:
    public_url: http://localhost:8080
    cookie: {name: plain_session}
trusted_proxies: [10.0.0.0/24, "fd00::/64"]
keys: {seal: [{id: k1, secret: ${SEAL}}]}
login: {return_to: {origins: ["https://*.docs.test"]}}
`;

const IDPS = `version: 1
providers:
  main: {issuer: https://idp.example.test, client_id: bff-client, client_auth: {secret: a-secret-of-the-world-0001}}
`;

const loaded = new Map<string, Config>();

/**
 * The configuration of the test world, really loaded: two sites, one provider; `extra` is appended to settings.yaml.
 * Frozen, so the same text gives the same object.
 */
export function worldConfig(extra = ''): Config {
  const known = loaded.get(extra);
  if (known !== undefined) return known;
  const texts = new Map([
    ['/world/settings.yaml', SITES + extra],
    ['/world/idps.yaml', IDPS],
  ]);
  const readFile: ReadFile = (path) => {
    const text = texts.get(path);
    return text === undefined ? { problem: 'does not exist', absent: true } : { bytes: Buffer.from(text) };
  };
  const config = loadConfig({ directory: '/world', environment: {}, readFile });
  loaded.set(extra, config);
  return config;
}

/** The cases of one attack file. */
export function readAttacks<Case>(family: string): readonly Case[] {
  const file = join(import.meta.dirname, '../fixtures/attacks', `${family}.json`);
  return JSON.parse(readFileSync(file, 'utf8')) as Case[];
}

/** A route as the configuration compiles it, with what every route says by default. */
export function routeOf(route: Partial<Route> & Pick<Route, 'id' | 'paths'>): Route {
  return {
    hosts: [],
    methods: [],
    service: undefined,
    auth: 'session',
    csrf: 'unsafe',
    onUnauthenticated: 'auto',
    roles: [],
    groups: [],
    scopes: [],
    allowIps: [],
    identityHeaders: true,
    cacheControl: 'no-store',
    rateLimit: undefined,
    bodyMaxBytes: 0,
    timeouts: {},
    pathMode: 'strict',
    public: [],
    rewrite: undefined,
    stepUp: undefined,
    webSocket: undefined,
    position: 'routes.yaml:1:1',
    ...route,
  };
}

/** A principal with every field set. */
export function principalOf(fields: Partial<Principal> = {}): Principal {
  return {
    issuer: 'https://idp.example.test',
    subject: 'u1',
    userId: 'u1',
    username: 'alice',
    email: 'alice@example.test',
    emailVerified: true,
    name: 'Alice',
    roles: ['user'],
    groups: [],
    claims: {},
    ...fields,
  };
}

/** The hot part of a live session of the main site. */
export function hotOf(fields: Partial<SessionHot> = {}): SessionHot {
  return {
    site: 'main',
    idp: 'main',
    principal: principalOf(),
    accessToken: 'at-1',
    tokenType: 'Bearer',
    tokenIssuedAt: NOW - 60_000,
    tokenExpiresAt: NOW + 300_000,
    renewable: false,
    scopes: ['openid'],
    sid: undefined,
    acr: undefined,
    authTime: NOW - 60_000,
    createdAt: NOW - 60_000,
    idleMs: 1_800_000,
    absoluteAt: NOW + 43_200_000,
    indexKeyId: 'k1',
    ...fields,
  };
}

/** A live session as `Sessions.find` returns it. */
export function sessionOf(fields: Partial<SessionHot> = {}): Session {
  const hot = hotOf(fields);
  const headers = new HeaderList(['X-User-Id', hot.principal.userId]);
  return { locator: 'L', publicId: 'P', revision: 1, hot, headers, lastSeenAt: NOW };
}

/** A request that the gateway asks about: a plain GET of /dashboard with a session cookie, unless `fields` differ. */
export function contextOf(fields: Partial<RequestContext> = {}): RequestContext {
  const context = new RequestContext();
  const peer = parseAddress('10.0.0.5');
  if (peer === undefined) throw new TypeError('the peer is an address');
  return Object.assign(context, {
    method: 'GET',
    path: '/auth/verify',
    host: 'bff.internal:8080',
    forwardedHost: 'app.example.test',
    forwardedMethod: 'GET',
    forwardedProto: 'https',
    forwardedUri: '/dashboard',
    forwardedFor: '198.51.100.7',
    cookie: `bff_session=${HANDLE}`,
    peer,
    trusted: true,
    requestId: 'r1',
    readAt: NOW,
    ...fields,
  });
}

/** What a top-level navigation of a browser sends. */
export const NAVIGATION = { secFetchMode: 'navigate', secFetchDest: 'document', accept: 'text/html' } as const;

const ENTRY: VerifyEntry = { allPeersTrusted: false, shared: false, tail: false };

/** One verify world: what differs from the plain one. */
export type Scene = {
  /** Appended to settings.yaml. */
  readonly settings?: string;
  readonly routes?: readonly Route[];
  readonly entry?: Partial<VerifyEntry>;
  /** The session behind HANDLE; null = none. */
  readonly session?: Session | null;
  /** The look-up is answered in a later turn. */
  readonly isLate?: boolean;
  /** What waiting for a new token comes to. */
  readonly renewal?: Renewal;
};

/** The services of a scene, and the handles that were looked up. */
export function servicesOf(scene: Scene): VerifyServices & { readonly lookedUp: [string, boolean][] } {
  const config = worldConfig(scene.settings);
  const session = scene.session === null ? undefined : (scene.session ?? sessionOf());
  const lookedUp: [string, boolean][] = [];
  const look = (handle: string, slide: boolean): Session | undefined | Late<Session | undefined> => {
    lookedUp.push([handle, slide]);
    const found = handle === HANDLE ? session : undefined;
    return scene.isLate ? lateOf(Promise.resolve(found)) : found;
  };
  return {
    lookedUp,
    config,
    sites: compileSites(config),
    routes: compileRoutes(scene.routes ?? []),
    sessions: { look } as Partial<Sessions> as Sessions,
    freshness: {
      isFresh: (_handle, { hot }) => NOW < hot.tokenExpiresAt,
      renew: async () => scene.renewal ?? { kind: 'ended', reason: 'no_renewal_in_this_scene' },
    },
    csrf: compileCsrfProofs(config, createKeyRing(config.sealKeys)),
    tokens: {
      ensure() {
        throw new TypeError('no service in this scene');
      },
    },
    identity: compileIdentityHeaders(config.identityHeaders, { onOversize: () => {}, onControl: () => {} }),
    options: compileVerifyOptions(config),
    returnTo: compileReturnTo({
      authPaths: [config.paths.auth, config.paths.apiAuth],
      origins: config.login.returnTo.origins,
    }),
    trusted: compileAddressMatcher(config.trustedProxies),
    clock: { now: () => NOW },
  };
}

/** What a promise comes to, as a look-up tells it. */
export function lateOf<Value>(promise: Promise<Value>): Late<Value> {
  const late = new Late<Value>();
  promise.then(
    (value) => late.settle(value),
    (error: unknown) => late.fail(error),
  );
  return late;
}

/** Ask verify synchronously; anything later is a failure, because a synchronous look-up must give a direct answer. */
export function ask(request: Partial<RequestContext>, scene: Scene = {}): Decision {
  return direct(verify(contextOf(request), { ...ENTRY, ...scene.entry }, servicesOf(scene)));
}

/** The decision that verify returned, which must not be one to come. */
export function direct(deciding: ReturnType<typeof verify>): Decision {
  if (deciding instanceof Promise || deciding instanceof LateDecision) throw new TypeError('verify waits');
  return deciding;
}

/** The decision of verify, whether it waits or not. Called in the turn in which verify was. */
export async function decisionOf(deciding: ReturnType<typeof verify>): Promise<Decision> {
  return deciding instanceof LateDecision ? deciding.promise() : deciding;
}

/** A decision in short: `allow`, `login <location>` or `<code> <reason>`. */
export function brief(decision: Decision): string {
  if (decision.kind === 'allow') return 'allow';
  return decision.kind === 'login' ? `login ${decision.location}` : `${decision.code} ${decision.reason}`;
}

/** A site of the test world by name. */
export function getSite(sites: SiteTable, name: string): SiteRuntime {
  const found = sites.all.find((site) => site.site.name === name);
  if (found === undefined) throw new TypeError(`no site ${name}`);
  return found;
}
