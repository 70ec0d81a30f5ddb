import { createHash, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** A user of the scripted provider; the claims go into its ID tokens. */
export type User = {
  readonly sub: string;
  readonly username: string;
  readonly email: string;
  readonly roles: readonly string[];
};

/** What the next token request gets. Members of `patch` are those of `token_response` in callback.json. */
export type Armed = {
  readonly user: User;
  /** Nonce of the authorization request, as its URL named it. */
  readonly nonce: string | null;
  readonly patch: Readonly<Record<string, unknown>>;
  /** Runs after the request was read and before it is answered. */
  readonly beforeAnswer: (() => Promise<void> | void) | undefined;
};

/** One recorded token request. */
export type TokenRequest = { readonly body: string; readonly parameters: URLSearchParams };

/** A provider that follows a script: it signs real ID tokens and misbehaves on command. */
export type ScriptedProvider = {
  readonly issuer: string;
  /** Origin for the server's own calls, `http://127.0.0.1:PORT`. */
  readonly backchannelUrl: string;
  /** Set what every following token request gets. */
  arm(armed: Armed): void;
  /** A valid access token for bearer calls (RFC 9068). */
  accessToken(user: User, audience: string): Promise<string>;
  /** A valid logout token for a session of this provider (OpenID Connect Back-Channel Logout). */
  logoutToken(sid: string): Promise<string>;
  /** Token requests since the last `forget`. */
  readonly tokenRequests: readonly TokenRequest[];
  /** Bodies of revocation requests since the last `forget`. */
  readonly revocations: readonly string[];
  forget(): void;
  close(): Promise<void>;
};

type SigningKey = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

const KEY_ID = 'ec-1';
const ID_TOKEN_TTL_S = 300;
const FILL_CHUNK = Buffer.alloc(65_536, 0x61);

/** Start a scripted provider for an issuer on a free loopback port. */
export async function startProvider(issuer: string): Promise<ScriptedProvider> {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const jwk = { ...(await exportJWK(publicKey)), kid: KEY_ID, alg: 'ES256', use: 'sig' };
  const tokenRequests: TokenRequest[] = [];
  const revocations: string[] = [];
  let armed: Armed | undefined;
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request);
    const path = (request.url ?? '').split('?')[0];
    if (path === '/.well-known/openid-configuration') return sendJson(response, 200, metadata(issuer));
    if (path === '/jwks') return sendJson(response, 200, { keys: [jwk] });
    if (path === '/revoke' && request.method === 'POST') {
      revocations.push(body);
      return sendJson(response, 200, {});
    }
    if (path !== '/token' || request.method !== 'POST' || armed === undefined) return sendJson(response, 404, {});
    tokenRequests.push({ body, parameters: new URLSearchParams(body) });
    const current = armed;
    await current.beforeAnswer?.();
    const idToken = await signIdToken(issuer, privateKey, current);
    sendTokenAnswer(response, current.patch, tokenMembers(idToken, current.patch));
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    issuer,
    backchannelUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    arm(next) {
      armed = next;
    },
    accessToken: (user, audience) => signAccessToken(issuer, privateKey, user, audience),
    logoutToken: (sid) => signLogoutToken(issuer, privateKey, sid),
    tokenRequests,
    revocations,
    forget() {
      tokenRequests.length = 0;
      revocations.length = 0;
    },
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The S256 challenge of a verifier (RFC 7636 section 4.2). */
export function challengeOf(verifier: string): string {
  return createHash('sha256').update(verifier).digest('base64url');
}

function metadata(issuer: string): Record<string, unknown> {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    revocation_endpoint: `${issuer}/revoke`,
    end_session_endpoint: `${issuer}/logout`,
    response_types_supported: ['code'],
    response_modes_supported: ['query'],
    grant_types_supported: ['authorization_code', 'refresh_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
    token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
    code_challenge_methods_supported: ['S256'],
    authorization_response_iss_parameter_supported: true,
  };
}

function signIdToken(issuer: string, key: SigningKey, { user, nonce, patch }: Armed): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims: Record<string, unknown> = {
    iss: issuer,
    sub: user.sub,
    aud: 'bff-client',
    iat: now,
    exp: now + ID_TOKEN_TTL_S,
    nonce,
    sid: randomBytes(16).toString('base64url'),
    preferred_username: user.username,
    email: user.email,
    email_verified: true,
    roles: user.roles,
  };
  for (const [name, value] of Object.entries(patch)) {
    if (name.startsWith('id_token_')) claims[name.slice('id_token_'.length)] = value;
  }
  const kept = Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== null));
  return new SignJWT(kept).setProtectedHeader({ alg: 'ES256', kid: KEY_ID, typ: 'JWT' }).sign(key);
}

function signAccessToken(issuer: string, key: SigningKey, user: User, audience: string): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, sub: user.sub, aud: audience, client_id: 'spa', iat: now, exp: now + ID_TOKEN_TTL_S };
  return new SignJWT({ ...claims, jti: randomBytes(16).toString('base64url'), roles: user.roles })
    .setProtectedHeader({ alg: 'ES256', kid: KEY_ID, typ: 'at+jwt' })
    .sign(key);
}

function signLogoutToken(issuer: string, key: SigningKey, sid: string): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
  const claims = { iss: issuer, aud: 'bff-client', sid, events, iat: now, exp: now + ID_TOKEN_TTL_S };
  return new SignJWT({ ...claims, jti: randomBytes(16).toString('base64url') })
    .setProtectedHeader({ alg: 'ES256', kid: KEY_ID, typ: 'logout+jwt' })
    .sign(key);
}

/** Members of `token_response` that steer the transport; all others patch the JSON body or the ID token. */
const TRANSPORT_MEMBERS = new Set(['status', 'content_type', 'body', 'hang', 'size', 'location', 'headers']);

function tokenMembers(idToken: string, patch: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const members: Record<string, unknown> =
    patch['error'] !== undefined
      ? {}
      : {
          access_token: `at-${randomBytes(24).toString('base64url')}`,
          token_type: 'Bearer',
          expires_in: 3600,
          refresh_token: `rt-${randomBytes(24).toString('base64url')}`,
          scope: 'openid profile email',
          id_token: idToken,
        };
  for (const [name, value] of Object.entries(patch)) {
    if (!TRANSPORT_MEMBERS.has(name) && !name.startsWith('id_token_')) members[name] = value;
  }
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null));
}

function sendTokenAnswer(
  response: ServerResponse,
  patch: Readonly<Record<string, unknown>>,
  members: Readonly<Record<string, unknown>>,
): void {
  if (patch['hang'] === true) return;
  const status = typeof patch['status'] === 'number' ? patch['status'] : 200;
  const headers: Record<string, string> = {
    'content-type': typeof patch['content_type'] === 'string' ? patch['content_type'] : 'application/json',
    'cache-control': 'no-store',
    ...(typeof patch['location'] === 'string' ? { location: patch['location'] } : {}),
    ...(patch['headers'] as Record<string, string> | undefined),
  };
  response.writeHead(status, headers);
  if (typeof patch['size'] === 'number') fill(response, members, patch['size']);
  else response.end(typeof patch['body'] === 'string' ? patch['body'] : JSON.stringify(members));
}

/** A JSON document of about `bytes` bytes, written as fast as the reader takes it. */
function fill(response: ServerResponse, members: Readonly<Record<string, unknown>>, bytes: number): void {
  let left = bytes;
  const pump = (): void => {
    while (left > 0 && !response.destroyed) {
      left -= FILL_CHUNK.length;
      if (!response.write(FILL_CHUNK)) return void response.once('drain', pump);
    }
    if (!response.destroyed) response.end('"}');
  };
  response.on('error', () => response.destroy());
  response.write(`${JSON.stringify(members).slice(0, -1)},"padding":"`);
  pump();
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('latin1');
}
