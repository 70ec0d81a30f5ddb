import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { expectObject, expectText, MalformedAttacks } from './cases.ts';
import type { JwtKeys } from './jwt-keys.ts';
import { boundToken, encode, type Members, patch } from './jwt-token.ts';

/** A request with a bound token and its proof, as a case of the context `dpop_proof` describes it. */
export type BoundRequest = {
  readonly token: string;
  readonly proof: string;
  readonly method: string;
  /** Path and query of the original request. */
  readonly uri: string;
};

const URL_OF_BASE = 'https://app.example.test/api/users/1';

/** The key of whoever brings tokens in these cases. */
export type Holder = { readonly privateKey: KeyObject; readonly jwk: Members; readonly thumbprint: string };

/** Make such a key. */
export function createHolder(): Holder {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { crv, kty, x, y } = publicKey.export({ format: 'jwk' });
  const thumbprint = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  return { privateKey, jwk: { crv, kty, x, y }, thumbprint };
}

/**
 * The base proof of SECURITY section 0 with the case's patches (`null` deletes a member), for a token bound to its key.
 * @param nowS the instance's clock. @throws MalformedAttacks for values that nobody has explained.
 */
export function buildBoundRequest(
  id: string,
  input: Members,
  keys: JwtKeys,
  holder: Holder,
  nowS: number,
): BoundRequest {
  const request = expectObject(input['request'] ?? {}, `${id}.request`);
  const url = new URL(request['url'] === undefined ? URL_OF_BASE : expectText(request['url'], `${id}.request.url`));
  const method = request['method'] === undefined ? 'GET' : expectText(request['method'], `${id}.request.method`);
  const token = boundToken(id, keys, holder.thumbprint);
  return {
    token,
    proof: signProof(id, input, holder, { token, method, nowS }),
    method,
    uri: url.pathname + url.search,
  };
}

/** A proof for the base address. */
export function signProof(
  id: string,
  input: Members,
  holder: Holder,
  { token, method, nowS }: { readonly token: string; readonly method: string; readonly nowS: number },
): string {
  const ath = createHash('sha256').update(token).digest('base64url');
  const header = patch(
    { typ: 'dpop+jwt', alg: 'ES256', jwk: holder.jwk },
    materialise(id, expectObject(input['header'] ?? {}, `${id}.header`), holder),
  );
  const base = { htm: method, htu: URL_OF_BASE, iat: nowS, jti: `proof-${id}-${nowS}`, ath };
  const payload = patch(base, expectObject(input['payload'] ?? {}, `${id}.payload`));
  const signed = `${encode(header)}.${encode(payload)}`;
  const signature = sign('sha256', Buffer.from(signed), { key: holder.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

/** Names in the files stand for things that a file cannot hold. */
function materialise(id: string, header: Members, { privateKey }: Holder): Members {
  const { jwk } = header;
  if (typeof jwk !== 'string') return header;
  if (jwk !== 'private-jwk') throw new MalformedAttacks(`${id}.header.jwk: ${jwk} is not known`);
  return { ...header, jwk: privateKey.export({ format: 'jwk' }) };
}
