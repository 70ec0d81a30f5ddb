import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { ErrorCode } from '../../src/core/errors.ts';
import {
  answer,
  answerJson,
  type Behaviour,
  fill,
  garbage,
  half,
  hang,
  reset,
} from '../support/misbehaving-service.ts';
import { createSigningKey, type ScriptedProvider, signIdToken, type TokenPatch } from '../support/scripted-provider.ts';

/** Keys of the tests' own; the public halves are published, but not that of the stranger. */
export type Keys = Readonly<Record<'ec' | 'rsa' | 'stranger', Awaited<ReturnType<typeof createSigningKey>>>>;

/** Make the keys. */
export async function createKeys(): Promise<Keys> {
  return {
    ec: await createSigningKey('ES256', 'test-ec'),
    rsa: await createSigningKey('RS256', 'test-rsa'),
    stranger: await createSigningKey('ES256', 'stranger'),
  };
}

/** A way in which the provider fails between the authorization answer and the session. */
export type ProviderFault = {
  readonly name: string;
  readonly code: ErrorCode;
  /** What the token endpoint does instead of answering as usual. */
  readonly token?: Behaviour;
  /** What changes in its usual answer. */
  readonly patch?: (login: {
    provider: ScriptedProvider;
    keys: Keys;
    nonce: string;
  }) => TokenPatch | Promise<TokenPatch>;
  /** What the userinfo endpoint does. */
  readonly userinfo?: Behaviour;
};

const FORGED_SIGNATURE = Buffer.alloc(64, 7).toString('base64url');
const MEBIBYTE = 1_048_576;
const MANY_GROUPS = Array.from({ length: 30_000 }, (_, index) => `group-${index}`);

/** Faults of the transport and of the token answer's form. */
export const ANSWER_FAULTS: readonly ProviderFault[] = [
  { name: 'error invalid_grant', code: 'callback_invalid', token: answerJson({ error: 'invalid_grant' }, 400) },
  { name: 'error invalid_client', code: 'idp_bad_response', token: answerJson({ error: 'invalid_client' }, 401) },
  {
    name: 'error invalid_client with a challenge',
    code: 'idp_bad_response',
    token: answer(
      401,
      { 'content-type': 'application/json', 'www-authenticate': 'Basic realm="idp"' },
      '{"error":"invalid_client"}',
    ),
  },
  {
    name: 'an error code with markup and line ends',
    code: 'idp_bad_response',
    token: answerJson({ error: '<script>alert(1)</script>\r\nx', error_description: '<img src=x>' }, 400),
  },
  { name: 'error 500', code: 'idp_unavailable', token: answerJson({ error: 'server_error' }, 500) },
  { name: '503 without JSON', code: 'idp_unavailable', token: answer(503, { 'content-type': 'text/plain' }, 'busy') },
  {
    name: '500 and HTML',
    code: 'idp_unavailable',
    token: answer(500, { 'content-type': 'text/html' }, '<h1>Oops</h1>'),
  },
  {
    name: 'HTML and 200',
    code: 'idp_bad_response',
    token: answer(200, { 'content-type': 'text/html' }, '<h1>Hi</h1>'),
  },
  { name: 'more than 1 MiB', code: 'idp_bad_response', token: fill(MEBIBYTE + 1) },
  { name: 'the promise of 2 GiB, then silence', code: 'service_timeout', token: promise(2_147_483_648) },
  {
    name: 'JSON with the wrong content type',
    code: 'idp_bad_response',
    token: answer(200, { 'content-type': 'text/plain' }, '{"access_token":"at","token_type":"Bearer"}'),
  },
  { name: 'an empty body', code: 'idp_bad_response', token: answer(200, { 'content-type': 'application/json' }, '') },
  { name: '204', code: 'idp_bad_response', token: answer(204, {}, '') },
  {
    name: 'truncated JSON',
    code: 'idp_bad_response',
    token: answer(200, { 'content-type': 'application/json' }, '{"access_token":"at-trunca'),
  },
  { name: 'JSON null', code: 'idp_bad_response', token: answerJson(null) },
  { name: 'a JSON array', code: 'idp_bad_response', token: answerJson([]) },
  {
    name: 'bytes that are no UTF-8',
    code: 'idp_bad_response',
    token: answer(200, { 'content-type': 'application/json' }, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
  },
  {
    name: 'bytes that are no gzip',
    code: 'idp_unavailable',
    token: answer(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }, '{}'),
  },
  {
    name: 'a few bytes that unpack to 64 MiB',
    code: 'idp_bad_response',
    token: answer(
      200,
      { 'content-type': 'application/json', 'content-encoding': 'gzip' },
      gzipSync(Buffer.alloc(64 * MEBIBYTE, ' ')),
    ),
  },
  { name: 'a redirect', code: 'idp_bad_response', token: redirectToItself() },
  { name: 'a connection reset', code: 'idp_unavailable', token: reset() },
  { name: 'half an answer, then a reset', code: 'idp_unavailable', token: half('{"access_token":"at-half"}', 'reset') },
  { name: 'half an answer, then silence', code: 'service_timeout', token: half('{"access_token":"at-half"}', 'hang') },
  { name: 'silence', code: 'service_timeout', token: hang() },
  { name: 'no HTTP', code: 'idp_unavailable', token: garbage() },
];

/** Members of an otherwise good token answer that must not be accepted. */
export const MEMBER_FAULTS: readonly ProviderFault[] = [
  member('no id_token', 'idp_bad_response', { id_token: null }),
  member('an id_token that is no JWT', 'idp_bad_response', { id_token: 'abc' }),
  member('an id_token that is a number', 'idp_bad_response', { id_token: 7 }),
  member('no token_type', 'idp_bad_response', { token_type: null }),
  member('token_type DPoP although none was asked for', 'idp_bad_response', { token_type: 'DPoP' }),
  member('an unknown token_type', 'idp_bad_response', { token_type: 'mac' }),
  member('no access_token', 'idp_bad_response', { access_token: null }),
  member('an empty access_token', 'idp_bad_response', { access_token: '' }),
  member('an access_token over 16 KiB', 'idp_bad_response', { access_token: 'a'.repeat(16_385) }),
  member('an access_token with a line end', 'idp_bad_response', { access_token: 'at-split\r\nx-user-role: admin' }),
  member('an access_token with NUL', 'idp_bad_response', { access_token: 'at-nul\0at-nul-at-nul' }),
  member('an access_token beyond ASCII', 'idp_bad_response', { access_token: 'at-ünïcödé-and-more-of-it' }),
  member('a refresh_token with control characters', 'idp_bad_response', {
    refresh_token: 'rt-bell\x07rt-bell-rt-bell',
  }),
  member('a refresh_token over 16 KiB', 'idp_bad_response', { refresh_token: 'r'.repeat(16_385) }),
  member('a negative expires_in', 'idp_bad_response', { expires_in: -1 }),
  member('an expires_in that is no number', 'idp_bad_response', { expires_in: 'soon' }),
  member('a scope that is no text', 'idp_bad_response', { scope: ['openid'] }),
];

/** ID tokens that are not for this login (OpenID Connect Core §3.1.3.7). */
export const ID_TOKEN_FAULTS: readonly ProviderFault[] = [
  claims('the issuer of somebody else', 'callback_invalid', () => ({ iss: 'https://evil.example.test' })),
  claims('the issuer with a slash more', 'callback_invalid', ({ provider }) => ({ iss: `${provider.issuer}/` })),
  claims('another nonce', 'callback_invalid', () => ({ nonce: 'n'.repeat(43) })),
  claims('no nonce', 'idp_bad_response', () => ({ nonce: undefined })),
  claims('another audience', 'callback_invalid', () => ({ aud: 'somebody-else' })),
  claims('no audience', 'idp_bad_response', () => ({ aud: undefined })),
  claims('several audiences and no azp', 'callback_invalid', () => ({ aud: ['bff-client', 'other'] })),
  claims('several audiences and the azp of another', 'callback_invalid', () => ({
    aud: ['bff-client', 'other'],
    azp: 'other',
  })),
  claims('no sub', 'idp_bad_response', () => ({ sub: undefined })),
  claims('an empty sub', 'idp_bad_response', () => ({ sub: '' })),
  claims('a sub that is no text', 'idp_bad_response', () => ({ sub: 7 })),
  claims('an exp that is over', 'callback_invalid', () => ({ exp: seconds(-120) })),
  claims('no exp', 'idp_bad_response', () => ({ exp: undefined })),
  claims('an iat in the future', 'callback_invalid', () => ({ iat: seconds(600), exp: seconds(900) })),
  claims('no iat', 'idp_bad_response', () => ({ iat: undefined })),
  claims('an nbf in the future', 'callback_invalid', () => ({ nbf: seconds(600) })),
  claims('an at_hash of another token', 'callback_invalid', () => ({ at_hash: 'AAAAAAAAAAAAAAAAAAAAAA' })),
  claims('an at_hash that is no text', 'callback_invalid', () => ({ at_hash: 7 })),
  token('alg none', 'idp_bad_response', ({ provider, nonce }) => unsigned(provider, nonce, { alg: 'none' }, '')),
  token('alg None', 'idp_bad_response', ({ provider, nonce }) => unsigned(provider, nonce, { alg: 'None' }, '')),
  token('a forged signature', 'callback_invalid', ({ provider, nonce }) =>
    unsigned(provider, nonce, { alg: 'ES256', kid: 'test-ec' }, FORGED_SIGNATURE),
  ),
  token('an empty signature', 'callback_invalid', ({ provider, nonce }) =>
    unsigned(provider, nonce, { alg: 'ES256', kid: 'test-ec' }, ''),
  ),
  token('HS256 with the public key as the secret', 'idp_bad_response', ({ provider, keys, nonce }) =>
    signIdToken(provider, { alg: 'HS256', kid: 'test-rsa', privateKey: Buffer.from(keys.rsa.jwk.n ?? '') }, nonce),
  ),
  token('RS256 although only ES256 is allowed', 'idp_bad_response', ({ provider, keys, nonce }) =>
    signIdToken(provider, keys.rsa, nonce),
  ),
  token('a kid that nobody published', 'callback_invalid', ({ provider, keys, nonce }) =>
    signIdToken(provider, keys.stranger, nonce),
  ),
  token('the key of a stranger under a known kid', 'callback_invalid', ({ provider, keys, nonce }) =>
    signIdToken(provider, { ...keys.stranger, kid: 'test-ec' }, nonce),
  ),
  token('a key that the token itself brings', 'callback_invalid', ({ provider, keys, nonce }) =>
    signIdToken(provider, keys.stranger, nonce, {}, { jwk: keys.stranger.jwk }),
  ),
  token('an unknown critical header', 'idp_bad_response', ({ provider, nonce }) =>
    unsigned(provider, nonce, { alg: 'ES256', kid: 'test-ec', crit: ['x'], x: 1 }, FORGED_SIGNATURE),
  ),
];

/** UserInfo answers that do not belong to the ID token (OpenID Connect Core §5.3.4). */
export const USERINFO_FAULTS: readonly ProviderFault[] = [
  userinfo('another sub', 'idp_bad_response', answerJson({ sub: 'u-mallory' })),
  userinfo('no sub', 'idp_bad_response', answerJson({ name: 'Alice' })),
  userinfo('HTML', 'idp_bad_response', answer(200, { 'content-type': 'text/html' }, '<h1>Hi</h1>')),
  userinfo('no such address', 'idp_bad_response', answer(404, {}, '')),
  userinfo('a redirect', 'idp_bad_response', answer(302, { location: '/userinfo-followed' }, '')),
  userinfo('401', 'idp_bad_response', answer(401, { 'www-authenticate': 'Bearer error="invalid_token"' }, '')),
  userinfo('JSON null', 'idp_bad_response', answerJson(null)),
  userinfo(
    'more claims than a session can hold',
    'idp_bad_response',
    answerJson({ sub: 'u-alice', x: 'x'.repeat(300_000) }),
  ),
  userinfo(
    'more groups than a session can hold',
    'idp_bad_response',
    answerJson({ sub: 'u-alice', groups: MANY_GROUPS }),
  ),
  userinfo('more than 1 MiB', 'idp_bad_response', fill(MEBIBYTE + 1)),
  userinfo('503', 'idp_unavailable', answer(503, {}, '')),
  userinfo('silence', 'service_timeout', hang()),
];

/** The at_hash of an access token under ES256 (OpenID Connect Core §3.1.3.6). */
export function atHash(accessToken: string): string {
  return createHash('sha256').update(accessToken).digest().subarray(0, 16).toString('base64url');
}

type Login = { readonly provider: ScriptedProvider; readonly keys: Keys; readonly nonce: string };

function member(name: string, code: ErrorCode, patch: TokenPatch): ProviderFault {
  return {
    name,
    code,
    patch: async ({ provider, keys, nonce }) => ({ id_token: await signIdToken(provider, keys.ec, nonce), ...patch }),
  };
}

function claims(name: string, code: ErrorCode, different: (login: Login) => Record<string, unknown>): ProviderFault {
  return token(`an ID token with ${name}`, code, (login) =>
    signIdToken(login.provider, login.keys.ec, login.nonce, different(login)),
  );
}

function token(name: string, code: ErrorCode, make: (login: Login) => string | Promise<string>): ProviderFault {
  return { name, code, patch: async (login) => ({ id_token: await make(login) }) };
}

function userinfo(name: string, code: ErrorCode, behaviour: Behaviour): ProviderFault {
  return {
    name: `userinfo: ${name}`,
    code,
    userinfo: behaviour,
    patch: async ({ provider, keys, nonce }) => ({ id_token: await signIdToken(provider, keys.ec, nonce) }),
  };
}

function unsigned(provider: ScriptedProvider, nonce: string, header: object, signature: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const payload = {
    iss: provider.issuer,
    sub: 'u-alice',
    aud: 'bff-client',
    iat: seconds(0),
    exp: seconds(300),
    nonce,
  };
  return `${part(header)}.${part(payload)}.${signature}`;
}

function seconds(fromNow: number): number {
  return Math.floor(Date.now() / 1000) + fromNow;
}

function promise(bytes: number): Behaviour {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(bytes) });
    response.write('{');
  };
}

/** To a path that would count as followed. */
function redirectToItself(): Behaviour {
  return (_request, response) => void response.writeHead(302, { location: '/token-followed' }).end();
}
