import type { Config } from '../core/config/types.ts';
import type { Reply } from '../core/problem.ts';
import { publicKeySet } from '../core/signing-keys.ts';

/** Readers may keep the keys so long, s: a new key is published that long before it signs. */
const MAX_AGE_S = 300;

/** `GET /auth/jwks.json`: the public halves of `keys.signing`, made at start; undefined without any (SPEC §1). */
export function compileKeySetReply({ signingKeys }: Config): Reply | undefined {
  if (signingKeys.length === 0) return undefined;
  return {
    status: 200,
    headers: [
      ['content-type', 'application/jwk-set+json'],
      ['cache-control', `public, max-age=${MAX_AGE_S}`],
      ['x-content-type-options', 'nosniff'],
    ],
    body: JSON.stringify(publicKeySet(signingKeys)),
  };
}
