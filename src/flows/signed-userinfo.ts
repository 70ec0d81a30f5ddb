import * as errors from 'jose/errors';
import { jwtVerify } from 'jose/jwt/verify';
import { SallyportError } from '../core/errors.ts';
import type { IdpRuntime } from './idp.ts';

/** What a signed answer is checked with. */
type Verifier = Pick<IdpRuntime, 'idp' | 'keys' | 'clock'>;

/**
 * A UserInfo answer of type `application/jwt` with its signature, `iss` and `aud` checked, as the JSON answer that it
 * stands for (OpenID Connect Core §5.3.2): oauth4webapi reads such an answer without looking at the signature. The
 * signatures of `id_token_algs` are accepted, made with the provider's keys. Any other answer passes as it is.
 * @throws idp_bad_response, or what reading the keys throws.
 */
export async function openSignedUserinfo({ idp, keys, clock }: Verifier, response: Response): Promise<Response> {
  const type = response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
  if (response.status !== 200 || type !== 'application/jwt') return response;
  try {
    const { payload } = await jwtVerify(await response.text(), keys, {
      algorithms: [...idp.idTokenAlgs],
      issuer: idp.issuer,
      audience: idp.clientId,
      clockTolerance: Math.ceil(idp.clockSkewMs / 1000),
      currentDate: new Date(clock.now()),
    });
    return new Response(JSON.stringify(payload), { headers: { 'content-type': 'application/json' } });
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    throw new SallyportError('idp_bad_response', { detail: `the signed UserInfo answer was refused: ${error.code}` });
  }
}
