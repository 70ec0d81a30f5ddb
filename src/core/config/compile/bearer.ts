import { durationMs } from '../schema/units.ts';
import type { Config } from '../types.ts';
import type { BearerIssuer } from '../types-bearer.ts';
import type { CompileContext } from './context.ts';

type Input = NonNullable<CompileContext['idps']['sections']['bearer']>;
type IssuerInput = Input['issuers'][number];

const OFF: Config['bearer'] = {
  enabled: false,
  issuers: [],
  cacheEntries: 0,
  dpop: { proofMaxAgeMs: 60_000, nonce: false },
};

/** Compile `bearer` of idps.yaml, with the checks that concern several keys (SPEC §7, R-087). */
export function compileBearer(context: CompileContext): Config['bearer'] {
  const { idps } = context;
  const input = idps.sections.bearer;
  if (input?.enabled !== true) return OFF;
  if (input.issuers.length === 0) {
    const fix = 'add "issuers: [{issuer: …, provider: …, audiences: […]}]", or enabled: false';
    idps.fail(['bearer', 'issuers'], 'bearer tokens of nobody', 'at least one issuer', fix);
  }
  for (const [at, issuer] of input.issuers.entries()) checkIssuer(context, input, issuer, at);
  return {
    enabled: true,
    issuers: input.issuers.map((issuer) => compileIssuer(issuer, input)),
    cacheEntries: input.cache_entries,
    dpop: { proofMaxAgeMs: durationMs(input.dpop.proof_max_age), nonce: input.dpop.nonce },
  };
}

function compileIssuer(input: IssuerInput, { introspection }: Input): BearerIssuer {
  return {
    issuer: input.issuer,
    provider: input.provider,
    audiences: input.audiences,
    algs: input.algs,
    types: input.types.map((type) => type.toLowerCase()),
    requiredScopes: input.required_scopes,
    clockSkewMs: durationMs(input.clock_skew),
    introspection: introspection.enabled,
    introspectionCacheMs: durationMs(introspection.cache),
    claimsLike: input.claims_like ?? input.provider,
  };
}

function checkIssuer(
  { idps }: CompileContext,
  { issuers, introspection }: Input,
  input: IssuerInput,
  at: number,
): void {
  const path = ['bearer', 'issuers', at];
  const names = idps.namesAt(['providers']);
  for (const key of ['provider', 'claims_like'] as const) {
    const name = input[key];
    if (name === undefined || names.includes(name)) continue;
    idps.fail([...path, key], '{value} is no provider of this file', names.join(', '), 'choose one of them');
  }
  if (issuers.findIndex(({ issuer }) => issuer === input.issuer) !== at) {
    const problem = '{value} has an entry already';
    idps.fail([...path, 'issuer'], problem, 'one entry for each issuer', 'put its audiences into one entry');
  }
  const provider = idps.sections.providers?.[input.provider];
  if (provider === undefined) return;
  if (introspection.enabled && provider.endpoints !== undefined) {
    const problem = `introspection, but ${input.provider} is described by endpoints, which name none for it`;
    idps.fail(['bearer', 'introspection'], problem, 'a provider with discovery', 'remove endpoints, or introspection');
  }
  if (provider.issuer !== input.issuer) {
    idps.warn([...path, 'provider'], `the keys of ${input.provider} sign for another issuer than its own`);
  }
  // An ID token names the client as its audience and says JWT: nothing would tell the two kinds apart (RFC 9068 §5).
  if (input.types.includes('JWT') && input.audiences.includes(provider.client_id)) {
    idps.warn([...path, 'types'], `JWT with the audience ${provider.client_id}: its ID tokens pass as access tokens`);
  }
}
