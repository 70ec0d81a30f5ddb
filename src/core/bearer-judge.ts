// hot: bench/bearer.ts
import { findClaimProblem } from './bearer-claims.ts';
import { createScratch, findTokenParts, readTokenHeader, readTokenPayload, type TokenParts } from './bearer-form.ts';
import { REFUSALS } from './bearer-refusals.ts';
import type { BearerIssuerRuntime } from './bearer-token.ts';
import { LIMITS } from './limits.ts';
import type { BearerRefusal } from './services.ts';

/** What a token's header says that its issuer has to accept. */
type TokenHeader = { readonly alg: string; readonly type: string };

/** A token whose form and header are right. Nothing in it is proven. */
export type TokenHead = { readonly parts: TokenParts; readonly header: TokenHeader };

/** Everything about a token that can be told without cryptography (R-087, RFC 9068 §4). Never throws. */
export type TokenJudge = {
  /** Form, and an `alg` and `typ` that some issuer accepts: never `none` or an HMAC, for the schema knows none. */
  readHead(token: string): TokenHead | BearerRefusal;
  /** The issuer that it names, if its claims are right for that one. */
  findIssuer(token: string, head: TokenHead, now: number): BearerIssuerRuntime | BearerRefusal;
  /** The token is valid, and others will come with its header: an issuer writes the same one into all of them. */
  learn(token: string): void;
};

/** Create the judge of tokens. Headers of valid tokens are remembered, so that strangers neither fill nor turn them over. */
export function createTokenJudge(issuers: ReadonlyMap<unknown, BearerIssuerRuntime>): TokenJudge {
  const algs = new Set<unknown>();
  const types = new Set<unknown>();
  for (const { settings } of issuers.values()) {
    for (const alg of settings.algs) algs.add(alg);
    for (const type of settings.types) types.add(type);
  }
  const scratch = createScratch(LIMITS.tokenMaxChars);
  const known = new Map<string, TokenHeader>();
  const read = (part: string): TokenHeader | BearerRefusal => {
    const header = readTokenHeader(part);
    if (typeof header === 'string') return REFUSALS[header];
    const { alg, typ } = header;
    if (typeof alg !== 'string' || !algs.has(alg)) return REFUSALS.alg;
    const type = typeof typ === 'string' ? mediaSubtype(typ) : '';
    return types.has(type) ? { alg, type } : REFUSALS.typ;
  };
  return {
    readHead(token) {
      const parts = findTokenParts(token, scratch);
      if (typeof parts === 'string') return REFUSALS[parts];
      const part = token.slice(0, parts.headerEnd);
      const header = known.get(part) ?? read(part);
      return 'kind' in header ? header : { parts, header };
    },
    findIssuer(token, { parts, header }, now) {
      const payload = readTokenPayload(token, parts);
      if (typeof payload === 'string') return REFUSALS[payload];
      const issuer = issuers.get(payload['iss']);
      if (issuer === undefined) return REFUSALS.issuer;
      if (!issuer.settings.algs.includes(header.alg)) return REFUSALS.alg;
      if (!issuer.settings.types.includes(header.type)) return REFUSALS.typ;
      const problem = findClaimProblem(payload, issuer.settings, now);
      return problem === undefined ? issuer : REFUSALS[problem];
    },
    learn(token) {
      const part = token.slice(0, token.indexOf('.'));
      if (known.has(part)) return;
      const header = read(part);
      if ('kind' in header) return;
      for (const oldest of known.keys()) {
        if (known.size < LIMITS.bearerHeadersMax) break;
        known.delete(oldest);
      }
      // A copy: a slice would keep the whole token.
      known.set(Buffer.from(part).toString(), header);
    },
  };
}

/** `typ` is a media type whose `application/` may be left out, compared without case (RFC 7515 §4.1.9). */
function mediaSubtype(typ: string): string {
  const lower = typ.toLowerCase();
  return lower.startsWith('application/') ? lower.slice('application/'.length) : lower;
}
