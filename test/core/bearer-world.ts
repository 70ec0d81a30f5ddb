import { createLocalJWKSet, exportJWK, generateKeyPair, type JSONWebKeySet, type JWTVerifyGetKey, SignJWT } from 'jose';
import { compileAddressMatcher } from '../../src/core/address.ts';
import { createBearerTokens } from '../../src/core/bearer.ts';
import { createProofCheck } from '../../src/core/bearer-proof.ts';
import type { Introspect } from '../../src/core/bearer-token.ts';
import type { IdentityHeader } from '../../src/core/config/types.ts';
import type { BearerIssuer } from '../../src/core/config/types-bearer.ts';
import { compileIdentityHeaders } from '../../src/core/identity.ts';
import type { BearerCaller, BearerRefusal, BearerResult, BearerTokens } from '../../src/core/services.ts';
import { buildPrincipal } from '../../src/flows/claims.ts';
import { NOW, worldConfig } from './world.ts';

/** Claims or header members that differ from the usual ones; undefined leaves one out. */
export type Patch = Readonly<Record<string, unknown>>;

/** A key pair under a key id. */
export type TestKey = Awaited<ReturnType<typeof createTestKey>>;

/** Bearer tokens checked by real keys, with a clock to move and every look for a key on record. */
export type BearerWorld = {
  readonly tokens: BearerTokens;
  readonly key: TestKey;
  readonly settings: BearerIssuer;
  now: number;
  /** What the provider's keys are now; an error = the provider is away. */
  published: readonly TestKey[] | Error;
  /** `kid` and payload of each look for a key: one for each validation. */
  readonly lookUps: { readonly kid: string | undefined; readonly payload: string }[];
  /** A token of `u1` for us, valid from NOW for 5 minutes, with differences, by `key` or another one. */
  sign(claims?: Patch, header?: Patch, key?: TestKey): Promise<string>;
  /** Ask as a gateway does for a client. @param from its address */
  ask(token: string, from?: string): BearerResult | Promise<BearerResult>;
  /** The same, always a promise. */
  check(token: string, from?: string): Promise<BearerResult>;
};

/** What a world may be made of instead. */
export type BearerWorldOptions = {
  readonly issuer?: Partial<BearerIssuer>;
  readonly alg?: 'ES256' | 'RS256';
  readonly cacheEntries?: number;
  readonly keysMaxAgeMs?: number;
  readonly identityHeaders?: readonly IdentityHeader[];
  readonly introspect?: Introspect;
};

export const ISSUER = 'https://idp.example.test';
export const AUDIENCE = 'https://bff.example.test';

/** Make a key pair. */
export async function createTestKey(kid: string, alg: 'ES256' | 'RS256' = 'ES256') {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** Create a world at NOW with one key, `ec-1`. */
export async function createBearerWorld(options: BearerWorldOptions = {}): Promise<BearerWorld> {
  const key = await createTestKey('ec-1', options.alg);
  const config = worldConfig();
  const [idp] = config.idps;
  if (idp === undefined) throw new TypeError('the world has a provider');
  const settings: BearerIssuer = {
    issuer: ISSUER,
    provider: 'main',
    audiences: [AUDIENCE],
    algs: ['ES256', 'RS256'],
    types: ['at+jwt'],
    requiredScopes: [],
    clockSkewMs: 30_000,
    introspection: options.introspect !== undefined,
    introspectionCacheMs: 30_000,
    claimsLike: 'main',
    ...options.issuer,
  };
  const lookUps: BearerWorld['lookUps'] = [];
  const sets = new Map<readonly TestKey[], JWTVerifyGetKey>();
  const keys: JWTVerifyGetKey = (header, token) => {
    lookUps.push({ kid: header.kid, payload: String(token.payload) });
    if (world.published instanceof Error) throw world.published;
    const set = sets.get(world.published) ?? createLocalJWKSet(keySet(world.published));
    sets.set(world.published, set);
    return set(header, token);
  };
  const identityHeaders = options.identityHeaders ?? config.identityHeaders;
  const tokens = createBearerTokens({
    issuers: [
      {
        settings,
        keys,
        keysMaxAgeMs: options.keysMaxAgeMs ?? 3_600_000,
        principalOf: (claims) => buildPrincipal(idp, claims, undefined),
        ...(options.introspect && { introspect: options.introspect }),
      },
    ],
    cacheEntries: options.cacheEntries ?? 100,
    identityHeaders,
    identity: compileIdentityHeaders(identityHeaders, { onOversize: () => {}, onControl: () => {} }),
    clock: { now: () => world.now },
    proofs: createProofCheck({ clock: { now: () => world.now }, maxAgeMs: 60_000, nonceOf: undefined }),
    trusted: compileAddressMatcher(config.trustedProxies),
  });
  const peer = new Uint8Array([10, 0, 0, 5]);
  const ask: BearerWorld['ask'] = (token, from = '203.0.113.7') => tokens.check(token, { peer, forwardedFor: from });
  const world: BearerWorld = {
    tokens,
    key,
    settings,
    now: NOW,
    published: [key],
    lookUps,
    sign: (claims = {}, header = {}, by = key) => signToken(claims, header, by),
    ask,
    check: async (token, from) => ask(token, from),
  };
  return world;
}

/** An access token as the attack file's base has it, at NOW. */
async function signToken(claims: Patch, header: Patch, { kid, alg, privateKey }: TestKey): Promise<string> {
  const nowS = NOW / 1000;
  const base = { iss: ISSUER, sub: 'u1', aud: AUDIENCE, client_id: 'spa', exp: nowS + 300, iat: nowS - 5, jti: 'j1' };
  return new SignJWT(defined({ ...base, ...claims }))
    .setProtectedHeader({ alg, ...defined({ kid, typ: 'at+jwt', ...header }) })
    .sign(privateKey);
}

function defined(members: Patch): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function keySet(keys: readonly TestKey[]): JSONWebKeySet {
  return { keys: keys.map(({ jwk }) => jwk) };
}

/** `caller u1` or the refusal's reason. */
export function briefly(result: BearerResult): string {
  return result.kind === 'caller' ? `caller ${result.session.hot.principal.userId}` : result.reason;
}

/** The result that must be a caller. */
export function callerOf(result: BearerResult | Promise<BearerResult>): BearerCaller {
  if (result instanceof Promise) throw new TypeError('not answered at once');
  if (result.kind !== 'caller') throw new TypeError(`refused: ${result.reason}`);
  return result;
}

/** The result that must be a refusal. */
export function refusalOf(result: BearerResult): BearerRefusal {
  if (result.kind !== 'refused') throw new TypeError('accepted');
  return result;
}
