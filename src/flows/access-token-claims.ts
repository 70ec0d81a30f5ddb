import * as errors from 'jose/errors';
import { decodeJwt } from 'jose/jwt/decode';
import { jwtVerify } from 'jose/jwt/verify';
import { SallyportError } from '../core/errors.ts';
import type { Principal } from '../core/session.ts';
import { buildPrincipal, type Claims } from './claims.ts';
import type { IdpRuntime } from './idp.ts';

/** Header types of access tokens (RFC 9068 §2.1); Keycloak writes JWT, Okta nothing. */
const TYPES: ReadonlySet<string | undefined> = new Set([undefined, 'jwt', 'at+jwt', 'application/at+jwt']);

/** What the check of an access token needs of a provider. */
type Verifier = Pick<IdpRuntime, 'idp' | 'keys' | 'clock' | 'warnOnce'>;

/**
 * The principal of everything that `claims_from` names, the access token among it (D-28).
 * @param idToken claims of the validated ID token. @param userinfo of the UserInfo answer, already compared.
 * @throws idp_bad_response, or what reading the keys throws.
 */
export async function readPrincipal(
  runtime: Verifier,
  idToken: Claims,
  userinfo: Claims | undefined,
  accessToken: string,
): Promise<Principal> {
  return buildPrincipal(runtime.idp, idToken, userinfo, await readClaims(runtime, idToken, accessToken));
}

/**
 * Claims of an access token that is a JWT for us: by the provider's keys and an algorithm of `id_token_algs`, of its
 * issuer, for our client id or one of `audiences.accept`, not over, of an access token's type, about the same user. One
 * that is opaque or for others tells us nothing: a warning, once, as long as there is another source.
 * @returns undefined where it is no source, or tells nothing. @throws idp_bad_response, what reading the keys throws.
 */
async function readClaims(runtime: Verifier, idToken: Claims, accessToken: string): Promise<Claims | undefined> {
  const { idp, warnOnce } = runtime;
  if (!idp.claimsFrom.includes('access_token')) return undefined;
  const audiences = [idp.clientId, ...idp.audiences.accept];
  const obstacle = findObstacle(accessToken, audiences);
  if (obstacle === undefined) return verify(runtime, idToken, accessToken, audiences);
  if (idp.claimsFrom.length === 1) throw refusal(obstacle);
  warnOnce(`claims_from: the access token ${obstacle}; its claims are left out`);
  return undefined;
}

/** Why nobody expects this token to be verified here; nothing of it is believed. */
function findObstacle(accessToken: string, audiences: readonly string[]): string | undefined {
  try {
    const { aud = [] } = decodeJwt(accessToken);
    return [aud].flat().some((audience) => audiences.includes(audience)) ? undefined : 'is not meant for this client';
  } catch {
    return 'is no JWT';
  }
}

async function verify(
  { idp, keys, clock }: Verifier,
  idToken: Claims,
  accessToken: string,
  audiences: readonly string[],
): Promise<Claims> {
  try {
    const { payload, protectedHeader } = await jwtVerify(accessToken, keys, {
      algorithms: [...idp.idTokenAlgs],
      issuer: idp.issuer,
      audience: [...audiences],
      requiredClaims: ['exp'],
      clockTolerance: Math.ceil(idp.clockSkewMs / 1000),
      currentDate: new Date(clock.now()),
    });
    if (!TYPES.has(protectedHeader.typ?.toLowerCase())) throw refusal('is a token of another type');
    // Lightweight tokens of Keycloak have no sub; they came with the ID token.
    if (payload.sub !== undefined && payload.sub !== idToken['sub']) throw refusal('is about another user');
    return payload;
  } catch (error) {
    throw error instanceof errors.JOSEError ? refusal(`was refused: ${error.code}`) : error;
  }
}

function refusal(reason: string): SallyportError {
  return new SallyportError('idp_bad_response', { detail: `claims_from: the access token ${reason}` });
}
