// hot: bench/bearer.ts
import type { AddressMatcher } from './address.ts';
import { createAcceptedTokens } from './bearer-cache.ts';
import { createFlights } from './bearer-flights.ts';
import { isOpaqueToken, validateActive, validateOpaque } from './bearer-introspection.ts';
import { createTokenJudge } from './bearer-judge.ts';
import { createBearerKeys } from './bearer-keys.ts';
import type { ProofCheck } from './bearer-proof.ts';
import { createBearerRation } from './bearer-ration.ts';
import { BOUND_AS_BEARER, NOT_BOUND, refuseBound, refuseProof, TOO_MANY, TOO_MANY_INVALID } from './bearer-refusals.ts';
import { createRefusedTokens } from './bearer-refused.ts';
import { type BearerIssuerRuntime, type ValidToken, validateToken } from './bearer-token.ts';
import type { Clock } from './clock.ts';
import type { IdentityHeader } from './config/types.ts';
import { HeaderList } from './header-list.ts';
import type { IdentityHeaders } from './identity.ts';
import { LIMITS } from './limits.ts';
import type {
  BearerAsker,
  BearerCaller,
  BearerRefusal,
  BearerResult,
  BearerTokens,
  PresentedToken,
} from './services.ts';

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
  /** Proxies whose word about a client's address is believed. */
  readonly trusted: AddressMatcher;
};

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
 * promise. What is malformed, of another issuer, algorithm or kind, or over is refused before any cryptography and not
 * remembered at all; other refusals are remembered apart from the accepted ones, for seconds, so that no number of
 * invalid tokens takes the place of a valid one. One token is validated once at a time. Above the ration a token is
 * refused for now by its form and header alone.
 */
export function createBearerTokens(options: BearerOptions): BearerTokens {
  const { clock } = options;
  const issuers = compileIssuers(options);
  const callerOf = compileCallers(options);
  const accepted = createAcceptedTokens(options.cacheEntries, LIMITS.bearerCacheMaxChars);
  const refused = createRefusedTokens();
  const ration = createBearerRation(options.trusted);
  const judge = createTokenJudge(issuers);
  const flights = createFlights();

  const opaque = findOpaqueIssuer(issuers);
  const checkUnknown = (token: string, asker: BearerAsker, now: number): BearerResult | Promise<BearerResult> => {
    const known = refused.find(token, now) ?? flights.find(token);
    if (known !== undefined) return known;
    if (opaque !== undefined && token.length <= LIMITS.tokenMaxChars && isOpaqueToken(token)) {
      // Tokens that only the provider can judge are bounded sooner: strangers must not make us flood it.
      const refusal = admit(LIMITS.bearerIntrospectionsMax, asker, now);
      return refusal ?? validate({ token, issuer: opaque, isOpaque: true, asker, now });
    }
    const head = judge.readHead(token);
    if ('kind' in head) return head;
    const refusal = admit(LIMITS.bearerValidationsMax, asker, now);
    if (refusal !== undefined) return refusal;
    const issuer = judge.findIssuer(token, head, now);
    if (!('kind' in issuer)) return validate({ token, issuer, isOpaque: false, asker, now });
    ration.giveBack();
    return issuer;
  };

  const admit = (most: number, asker: BearerAsker, now: number): BearerRefusal | undefined => {
    if (flights.count >= most) return TOO_MANY;
    return ration.take(asker, now) ? undefined : TOO_MANY_INVALID;
  };

  const validate = (unknown: Unknown): Promise<BearerResult> => {
    const { token, issuer, isOpaque, asker, now } = unknown;
    const client = ration.clientOf(asker);
    const settled = validateAs(unknown).then((result) => {
      if ('kind' in result) {
        ration.countRefusal(client, now);
        if (result.isLasting) refused.remember(token, result, now);
        return result;
      }
      ration.giveBack();
      if (!isOpaque) judge.learn(token);
      const caller = callerOf(result);
      // A withdrawn key must not live on in here: no result outlives the key set that it was found with.
      accepted.remember(token, caller, Math.min(result.endsAt, now + issuer.keysMaxAgeMs), now);
      return caller;
    });
    return flights.begin(token, settled);
  };

  return createChecks((token, asker) => {
    const now = clock.now();
    return accepted.find(token, now) ?? checkUnknown(token, asker, now);
  }, options.proofs);
}

type Find = (token: string, asker: BearerAsker) => BearerResult | Promise<BearerResult>;

function createChecks(find: Find, proofs: ProofCheck): BearerTokens {
  const prove = (result: BearerResult, presented: PresentedToken): BearerResult => {
    if (result.kind === 'refused') return refuseBound(result);
    if (result.thumbprint === '') return NOT_BOUND;
    const problem = proofs.find(presented, result.thumbprint);
    return problem === undefined ? result : refuseProof(problem, proofs.nonce());
  };
  return {
    check(token, asker) {
      const result = find(token, asker);
      return result instanceof Promise ? result.then(unbound) : unbound(result);
    },
    checkBound(presented, asker) {
      const result = find(presented.token, asker);
      return result instanceof Promise ? result.then((value) => prove(value, presented)) : prove(result, presented);
    },
  };
}

/** A token that has to be looked at. */
type Unknown = {
  readonly token: string;
  readonly issuer: BearerIssuerRuntime;
  readonly isOpaque: boolean;
  readonly asker: BearerAsker;
  readonly now: number;
};

function validateAs({ token, issuer, isOpaque, now }: Unknown) {
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
function compileCallers({ identity, identityHeaders }: BearerOptions): (valid: ValidToken) => BearerCaller {
  const withheld = compileWithheld(identityHeaders);
  return ({ hot, thumbprint }) => {
    const headers = withheld(identity.build({ hot, publicId: '' }));
    const session = { locator: '', publicId: '', revision: 0, hot, headers, lastSeenAt: hot.createdAt };
    return { kind: 'caller', session, thumbprint };
  };
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
