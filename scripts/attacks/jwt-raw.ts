import { createCipheriv, randomBytes } from 'node:crypto';
import { deflateRawSync } from 'node:zlib';
import { CompactEncrypt } from 'jose';
import { MalformedAttacks, splitOnce } from './cases.ts';
import type { JwtKeys, Signer } from './jwt-keys.ts';

/** What a token is made of. */
export type RawParts = {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly signer: Signer;
  readonly keys: JwtKeys;
};

const ZIP_BOMB_BYTES = 8_388_608;

/** The token of a case that changes bytes, not members. @throws MalformedAttacks for a value that is not known */
export async function rawToken(id: string, raw: string, parts: RawParts): Promise<string> {
  const { payload } = parts;
  const [name = '', argument = ''] = splitOnce(raw, ':');
  switch (name) {
    case 'nested':
      return compact(parts, compact({ ...parts, header: { alg: 'ES256', kid: 'ec-1', typ: 'at+jwt' } }));
    case 'jwe':
      return argument === '' ? encrypted(parts) : hostileJwe(id, argument);
    case 'json-serialization': {
      const [header, body, signature] = compact(parts).split('.');
      return JSON.stringify({ payload: body, protected: header, signature });
    }
    case 'drop-last-part':
      return compact(parts).split('.').slice(0, 2).join('.');
    case 'padding':
      return padded(parts);
    case 'noncanonical-b64':
      return withSpareBit(compact(parts));
    case 'deep-json': {
      const depth = Number(argument);
      const text = JSON.stringify({ ...payload, deep: 0 });
      return compact(parts, text.replace('"deep":0', `"deep":${'['.repeat(depth)}${']'.repeat(depth)}`));
    }
    case 'payload':
      return compact(parts, argument);
    case 'payload-bytes':
      return compact(parts, Buffer.from(argument.replaceAll(' ', ''), 'hex'));
    case 'payload-bom':
      return compact(parts, `\ufeff${JSON.stringify(payload)}`);
    case 'payload-text':
      return compact(parts, completed(argument, payload));
    case 'header-text':
      return compact(parts, JSON.stringify(payload), argument);
    default:
      throw new MalformedAttacks(`${id}.raw: ${raw} is not known`);
  }
}

/** A compact JWS over exactly these texts, signed in earnest. */
function compact(
  { header, payload, signer }: RawParts,
  body: string | Buffer = JSON.stringify(payload),
  head = JSON.stringify(header),
): string {
  const signed = `${Buffer.from(head).toString('base64url')}.${Buffer.from(body).toString('base64url')}`;
  return `${signed}.${signer(header['alg'], Buffer.from(signed)).toString('base64url')}`;
}

/** `{"sub":"a",...}`: the members of the base that the text does not name itself take the place of the dots. */
function completed(template: string, payload: Readonly<Record<string, unknown>>): string {
  const rest = Object.entries(payload).filter(([name]) => !template.includes(`"${name}":`));
  return template.replace('...', JSON.stringify(Object.fromEntries(rest)).slice(1, -1));
}

/** A payload part in standard base64 with its padding, signed as it stands. */
function padded({ header, payload, signer }: RawParts): string {
  let text = JSON.stringify(payload);
  while (Buffer.byteLength(text) % 3 === 0) text = `${text} `;
  const signed = `${Buffer.from(JSON.stringify(header)).toString('base64url')}.${Buffer.from(text).toString('base64')}`;
  return `${signed}.${signer(header['alg'], Buffer.from(signed)).toString('base64url')}`;
}

/** The last character with a spare bit set: other text, same bytes. */
function withSpareBit(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') + 1];
}

/** A real JWE to a published key of ours, with the valid token inside. */
function encrypted(parts: RawParts): Promise<string> {
  return new CompactEncrypt(Buffer.from(compact(parts)))
    .setProtectedHeader({ alg: 'ECDH-ES', enc: 'A256GCM', kid: 'enc-1', cty: 'JWT', typ: 'at+jwt' })
    .encrypt(parts.keys.encryptionKey);
}

/** JWEs that make a careless reader work before it can refuse. */
function hostileJwe(id: string, kind: string): string {
  const part = (bytes: Buffer): string => bytes.toString('base64url');
  const header = (members: object): string => part(Buffer.from(JSON.stringify(members)));
  if (kind === 'pbes2-p2c-1e9') {
    const members = { alg: 'PBES2-HS256+A128KW', enc: 'A128GCM', p2s: part(randomBytes(16)), p2c: 1_000_000_000 };
    return [header(members), ...[24, 12, 64, 16].map((bytes) => part(randomBytes(bytes)))].join('.');
  }
  if (kind === 'zip-bomb') {
    const head = header({ alg: 'dir', enc: 'A256GCM', zip: 'DEF' });
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', randomBytes(32), nonce).setAAD(Buffer.from(head));
    const body = Buffer.concat([cipher.update(deflateRawSync(Buffer.alloc(ZIP_BOMB_BYTES))), cipher.final()]);
    return [head, '', part(nonce), part(body), part(cipher.getAuthTag())].join('.');
  }
  throw new MalformedAttacks(`${id}.raw: jwe:${kind} is not known`);
}
