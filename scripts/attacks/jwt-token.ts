import { createHash } from 'node:crypto';
import { expectObject, expectText, isObject, MalformedAttacks } from './cases.ts';
import type { JwtKeys, Signer } from './jwt-keys.ts';
import { type RawParts, rawToken } from './jwt-raw.ts';

/** Clock of the jwt cases, s (SECURITY section 0). */
export const CASE_NOW_S = 1_800_000_000;

/** Members of a header or payload. */
export type Members = Readonly<Record<string, unknown>>;
type Base = { readonly header: Members; readonly payload: Members };

const HEADER: Members = { alg: 'ES256', kid: 'ec-1', typ: 'at+jwt' };
const PAYLOAD: Members = {
  iss: 'https://idp.example.test',
  sub: 'u1',
  aud: 'https://bff.example.test',
  client_id: 'spa',
  exp: CASE_NOW_S + 300,
  iat: CASE_NOW_S - 5,
};

/** An ID token of the session that the runner signs in (SECURITY section 0); the nonce is the login's. */
const ID: Base = {
  header: { ...HEADER, typ: 'JWT' },
  payload: {
    iss: PAYLOAD['iss'],
    aud: 'bff-client',
    sub: 'u1',
    sid: 's1',
    exp: CASE_NOW_S + 120,
    iat: CASE_NOW_S - 5,
  },
};
/** A logout token of that session. */
const LOGOUT: Base = {
  header: { ...HEADER, typ: 'logout+jwt' },
  payload: { ...ID.payload, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } },
};
const BASES: Readonly<Record<string, Base>> = { logout_token: LOGOUT, id_token: ID };

/** Values of `raw` that say how a token is sent, not what it is. */
const TRANSPORT_RAW: ReadonlySet<string> = new Set(['two-authorization-headers', 'query:access_token']);

/**
 * The tokens that a case describes: the valid base with its patches (`null` deletes a member), signed as it says.
 * More than one where the case leaves a choice to the attacker.
 * @throws MalformedAttacks for values that nobody has explained.
 */
export async function buildTokens(id: string, input: Members, keys: JwtKeys): Promise<readonly string[]> {
  const base = BASES[String(input['context'])] ?? { header: HEADER, payload: PAYLOAD };
  const header = patch(base.header, materialise(expectObject(input['header'] ?? {}, `${id}.header`), keys));
  const payload = patch({ ...base.payload, jti: `jti-${id}` }, expectObject(input['payload'] ?? {}, `${id}.payload`));
  const signers = signersOf(id, input, header, keys);
  const raw = input['raw'] === undefined ? undefined : expectText(input['raw'], `${id}.raw`);
  const tokens: string[] = [];
  for (const signer of signers) {
    const parts: RawParts = { header, payload, signer, keys };
    if (raw !== undefined && !TRANSPORT_RAW.has(raw)) tokens.push(await rawToken(id, raw, parts));
    else tokens.push(withSignature(id, input['signature'], parts));
  }
  return tokens;
}

/** The valid base token of a case's own. */
export function baseToken(id: string, keys: JwtKeys): string {
  const signer = getSigner(id, 'trusted', keys);
  return withSignature(id, undefined, { header: HEADER, payload: { ...PAYLOAD, jti: `base-${id}` }, signer, keys });
}

/** The same, bound to a key (RFC 9449 §6.1). */
export function boundToken(id: string, keys: JwtKeys, thumbprint: string): string {
  const payload = { ...PAYLOAD, jti: `bound-${id}`, cnf: { jkt: thumbprint } };
  return withSignature(id, undefined, { header: HEADER, payload, signer: getSigner(id, 'trusted', keys), keys });
}

/** An ID token for a login with this nonce, of the session that the logout tokens name. */
export function idToken(nonce: string, keys: JwtKeys): string {
  const payload = { ...ID.payload, nonce };
  const signer = getSigner('id', 'trusted', keys);
  return withSignature('id', undefined, { header: ID.header, payload, signer, keys });
}

/** A header or payload with a case's changes; `null` deletes a member. */
export function patch(base: Members, changes: Members): Members {
  return Object.fromEntries(Object.entries({ ...base, ...changes }).filter(([, value]) => value !== null));
}

/** Names in the files stand for things that a file cannot hold. */
function materialise(header: Members, keys: JwtKeys): Members {
  const values: Members = {
    'attacker-public-jwk': keys.attackerJwk,
    'attacker-cert': keys.attackerSpki.toString('base64'),
    'trusted-thumbprint': createHash('sha256').update(keys.trustedSpki).digest('base64url'),
  };
  const replace = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(replace);
    return typeof value === 'string' && Object.hasOwn(values, value) ? values[value] : value;
  };
  return Object.fromEntries(Object.entries(header).map(([name, value]) => [name, replace(value)]));
}

/** Who signs: whom the case names, else the key of `kid`, else the trusted one. */
function signersOf(id: string, input: Members, header: Members, keys: JwtKeys): readonly Signer[] {
  const named = input['sign_with'];
  if (named !== undefined) return [getSigner(id, expectText(named, `${id}.sign_with`), keys)];
  const { kid, alg } = header;
  const own = typeof kid === 'string' ? keys.signers.get(kid) : undefined;
  if (alg === 'RS1') return [getSigner(id, 'rsa-1', keys)];
  if (own === undefined) return [getSigner(id, 'trusted', keys)];
  // A relabelled signature: the honest one and one of the other padding.
  return alg === 'RS256' ? [own, (_alg, data) => own('PS256', data)] : [own];
}

function getSigner(id: string, name: string, keys: JwtKeys): Signer {
  const signer = keys.signers.get(name);
  if (signer === undefined) throw new MalformedAttacks(`${id}.sign_with: unknown key ${name}`);
  return signer;
}

function withSignature(id: string, kind: unknown, { header, payload, signer, keys }: RawParts): string {
  const signed = `${encode(header)}.${encode(payload)}`;
  if (kind === 'keep') return `${signed}.${baseToken(id, keys).split('.')[2]}`;
  const signature = signer(header['alg'], Buffer.from(signed));
  return `${signed}.${changeSignature(id, kind, signature, keys).toString('base64url')}`;
}

function changeSignature(id: string, kind: unknown, signature: Buffer, keys: JwtKeys): Buffer {
  if (kind === undefined) return signature;
  const [name = '', argument = ''] = expectText(kind, `${id}.signature`).split(':');
  switch (name) {
    case '':
      return Buffer.alloc(0);
    case 'zeros':
      return Buffer.alloc(Number(argument));
    case 'truncate':
      return signature.subarray(0, signature.length - Number(argument));
    case 'append':
      return Buffer.concat([signature, Buffer.from(argument, 'hex')]);
    case 'from_other_token':
      return Buffer.from(baseToken(`${id}-other`, keys).split('.')[2] ?? '', 'base64url');
    default:
      throw new MalformedAttacks(`${id}.signature: ${name} is not known`);
  }
}

/** One part of a token. */
export function encode(value: Members): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** The input of a case with what this family knows of it. @throws MalformedAttacks */
export function readInput(id: string, input: unknown): Members & { readonly context: string } {
  if (!isObject(input)) throw new MalformedAttacks(`${id}.input: expected an object`);
  return { ...input, context: expectText(input['context'], `${id}.input.context`) };
}
