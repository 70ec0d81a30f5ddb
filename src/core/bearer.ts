// hot: bench/bearer.ts
import { hash } from 'node:crypto';
import { createAcceptedTokens } from './bearer-cache.ts';
import { isOpaqueToken, validateActive, validateOpaque } from './bearer-introspection.ts';
import { createBearerKeys } from './bearer-keys.ts';
import type { ProofCheck } from './bearer-proof.ts';
import { BOUND_AS_BEARER, NOT_BOUND, refuseBound, refuseProof } from './bearer-refusals.ts';
import { type BearerIssuerRuntime, selectCandidate, validateToken } from './bearer-token.ts';
import type { Clock } from './clock.ts';
import type { IdentityHeader } from './config/types.ts';
import { SallyportError } from './errors.ts';
import { HeaderList } from './header-list.ts';
import type { IdentityHeaders } from './identity.ts';
import { LIMITS } from './limits.ts';
import type { BearerCaller, BearerRefusal, BearerResult, BearerTokens, PresentedToken } from './services.ts';
import type { SessionHot } from './session.ts';

/** What the check of bearer tokens is made of. */
export type BearerOptions = {
  readonly issuers: readonly BearerIssuerRuntime[];
  /** Validated tokens remembered. */
  readonly cacheEntries: number;
  readonly identity: IdentityHeaders;
  /** The configured headers behind `identity`. */
  readonly identityHeaders: readonly IdentityHeader[];
  readonly clock: Clock;
  readonly proofs: ProofCheck;
};

/** Remembered refusals, by digest. */
type Refused = { readonly refusal: BearerRefusal; readonly until: number };

const SPACE = 0x20;

/**
 * The token of an Authorization header of a scheme, compared without case (RFC 9110 §11.1, RFC 6750 §2.1); undefined for
 * any other scheme. Empty or odd text is returned as it is: `check` refuses it.
 * @param scheme in lower case.
 */
export function findSchemeToken(authorization: string, scheme: 'bearer' | 'dpop'): string | undefined {
  const { length } = scheme;
  if (authorization.length < length) return undefined;
  for (let at = 0; at < length; at++) {
    if ((authorization.charCodeAt(at) | 0x20) !== scheme.charCodeAt(at)) return undefined;
  }
  if (authorization.length === length) return '';
  if (authorization.charCodeAt(length) !== SPACE) return undefined;
  let start = length + 1;
  while (authorization.charCodeAt(start) === SPACE) start++;
  return authorization.slice(start);
}

/**
 * Validate bearer tokens and remember the results (SPEC §7, R-087 to R-089). A remembered token is answered without a
 * promise. What is malformed, of another issuer, algorithm or kind is refused before any cryptography and not
 * remembered at all; other refusals are remembered apart from the accepted ones, for seconds, so that no number of
 * invalid tokens takes the place of a valid one. One token is validated once at a time.
 */
export function createBearerTokens(options: BearerOptions): BearerTokens {
  const { clock, identity } = options;
  const issuers = compileIssuers(options);
  const withheld = compileWithheld(options.identityHeaders);
  const accepted = createAcceptedTokens(options.cacheEntries, LIMITS.bearerCacheMaxChars);
  const refused = new Map<string, Refused>();
  const running = new Map<string, Promise<BearerResult>>();
  const budget = createRefusalBudget();

  const opaque = findOpaqueIssuer(issuers);
  const checkUnknown = (token: string, now: number): BearerResult | Promise<BearerResult> => {
    const isOpaque = opaque !== undefined && token.length <= LIMITS.tokenMaxChars && isOpaqueToken(token);
    const candidate = isOpaque ? { issuer: opaque } : selectCandidate(token, issuers);
    if ('kind' in candidate) return candidate;
    const digest = hash('sha256', token, 'base64url');
    const known = refused.get(digest);
    if (known !== undefined && now < known.until) return known.refusal;
    const flight = running.get(digest);
    if (flight !== undefined) return flight;
    // Tokens that only the provider can judge are bounded sooner: strangers must not make us flood it.
    if (running.size >= (isOpaque ? LIMITS.bearerIntrospectionsMax : LIMITS.bearerValidationsMax)) {
      throw new SallyportError('overloaded', { detail: 'bearer validations', retryAfterS: 1 });
    }
    if (!budget.take(now)) throw new SallyportError('overloaded', { detail: 'invalid bearer tokens', retryAfterS: 1 });
    const validation = validate(token, digest, candidate.issuer, isOpaque, now).finally(() => running.delete(digest));
    running.set(digest, validation);
    return validation;
  };

  const validate = (
    token: string,
    digest: string,
    issuer: BearerIssuerRuntime,
    isOpaque: boolean,
    now: number,
  ): Promise<BearerResult> =>
    validateAs(isOpaque, token, issuer, now).then((result) => {
      if ('kind' in result) {
        if (result.isLasting)
          rememberRefusal(refused, digest, { refusal: result, until: now + LIMITS.bearerRefusedTtlMs });
        return result;
      }
      budget.giveBack();
      const { hot, thumbprint } = result;
      const caller = callerOf(hot, thumbprint, withheld(identity.build({ hot, publicId: '' })));
      // A withdrawn key must not live on in here: no result outlives the key set that it was found with.
      accepted.remember(token, caller, Math.min(result.endsAt, now + issuer.keysMaxAgeMs), now);
      return caller;
    });

  const find = (token: string): BearerResult | Promise<BearerResult> => {
    const now = clock.now();
    return accepted.find(token, now) ?? checkUnknown(token, now);
  };

  return createChecks(find, options.proofs);
}

function createChecks(find: (token: string) => BearerResult | Promise<BearerResult>, proofs: ProofCheck): BearerTokens {
  const prove = (result: BearerResult, presented: PresentedToken): BearerResult => {
    if (result.kind === 'refused') return refuseBound(result);
    if (result.thumbprint === '') return NOT_BOUND;
    const problem = proofs.find(presented, result.thumbprint);
    return problem === undefined ? result : refuseProof(problem, proofs.nonce());
  };
  return {
    check(token) {
      const result = find(token);
      return result instanceof Promise ? result.then(unbound) : unbound(result);
    },
    checkBound(presented) {
      const result = find(presented.token);
      return result instanceof Promise ? result.then((value) => prove(value, presented)) : prove(result, presented);
    },
  };
}

function validateAs(isOpaque: boolean, token: string, issuer: BearerIssuerRuntime, now: number) {
  const { introspect } = issuer;
  if (introspect === undefined) return validateToken(token, issuer, now);
  return isOpaque ? validateOpaque(token, issuer, introspect, now) : validateActive(token, issuer, introspect, now);
}

/** Who is asked about opaque tokens: the only issuer. Of several, none may see the tokens of another. */
function findOpaqueIssuer(issuers: ReadonlyMap<unknown, BearerIssuerRuntime>): BearerIssuerRuntime | undefined {
  if (issuers.size !== 1) return undefined;
  for (const issuer of issuers.values()) if (issuer.introspect !== undefined) return issuer;
  return undefined;
}

function compileIssuers({ issuers, clock }: BearerOptions): ReadonlyMap<unknown, BearerIssuerRuntime> {
  return new Map(
    issuers.map((issuer) => {
      return [issuer.settings.issuer, Object.assign({}, issuer, { keys: createBearerKeys(issuer.keys, clock) })];
    }),
  );
}

/** Without its proof a bound token is a stolen one. */
function unbound(result: BearerResult): BearerResult {
  return result.kind === 'caller' && result.thumbprint !== '' ? BOUND_AS_BEARER : result;
}

/** A caller looks like a session without a cookie: everything that judges sessions judges callers. */
function callerOf(hot: SessionHot, thumbprint: string, headers: HeaderList): BearerCaller {
  const session = { locator: '', publicId: '', revision: 0, hot, headers, lastSeenAt: hot.createdAt };
  return { kind: 'caller', session, thumbprint };
}

/**
 * D-09: the validated token, whose audience is ours, goes on as what it came as, in Authorization; other headers that
 * would hold the token of a session stay empty.
 */
function compileWithheld(headers: readonly IdentityHeader[]): (list: HeaderList) => HeaderList {
  const names = new Set(
    headers.filter(({ name, source }) => source.kind === 'token' && name.toLowerCase() !== 'authorization').map(nameOf),
  );
  if (names.size === 0) return (list) => list;
  return ({ pairs }) =>
    new HeaderList(pairs.map((text, at) => (at % 2 === 1 && names.has(pairs[at - 1] as string) ? '' : text)));
}

function nameOf({ name }: IdentityHeader): string {
  return name;
}

/**
 * A signature costs some hundred times what a remembered token does. So validations that end in a refusal are rationed:
 * a flood of them takes a tenth of a core at most, and remembered tokens never meet the ration.
 */
function createRefusalBudget(): { take(now: number): boolean; giveBack(): void } {
  const most: number = LIMITS.bearerRefusalsPerSecond;
  let left: number = most;
  let filledAt = Number.NEGATIVE_INFINITY;
  return {
    take(now) {
      // A clock that was set back refills nothing, and does not wait for its old time either.
      const passedMs = now - filledAt;
      if (passedMs > 0) left = Math.min(most, left + (passedMs * most) / 1000);
      filledAt = now;
      if (left < 1) return false;
      left -= 1;
      return true;
    },
    giveBack() {
      left = Math.min(most, left + 1);
    },
  };
}

/** Oldest out first: a flood of refusals turns over among refusals. */
function rememberRefusal(refused: Map<string, Refused>, digest: string, entry: Refused): void {
  refused.delete(digest);
  if (refused.size >= LIMITS.bearerRefusedMax) {
    for (const oldest of refused.keys()) {
      refused.delete(oldest);
      break;
    }
  }
  refused.set(digest, entry);
}
