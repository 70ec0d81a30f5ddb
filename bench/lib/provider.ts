import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

/** An OpenID Provider without pages: who may sign in as whom is written in the authorization code. */
export type BenchProvider = {
  readonly issuer: string;
  /** The code that stands for a user and the nonce of the authorization request. */
  codeFor(subject: string, nonce: string | null): string;
  /** A bearer token (RFC 9068) of that user for us. */
  accessToken(subject: string): Promise<string>;
  close(): Promise<void>;
};

/** The client of every server in the bench. */
export const CLIENT = { id: 'bench-client', secret: 'bench-secret-of-some-length-for-the-provider' } as const;
/** Audience of its bearer tokens. */
export const AUDIENCE = 'https://api.example.com';

const KEY_ID = 'bench-1';
const TOKEN_LIFE_S = 7_200;
type SigningKey = Awaited<ReturnType<typeof generateKeyPair>>['privateKey'];

/** Start it on a free loopback port. */
export async function startBenchProvider(): Promise<BenchProvider> {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwk = { ...(await exportJWK(publicKey)), kid: KEY_ID, alg: 'RS256', use: 'sig' };
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => response.destroy());
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '').split('?')[0];
    if (path === '/.well-known/openid-configuration') return sendJson(response, metadata(issuer));
    if (path === '/jwks') return sendJson(response, { keys: [jwk] });
    if (path !== '/token') return void response.writeHead(404).end();
    const code = new URLSearchParams(await readBody(request)).get('code') ?? '';
    const { subject, nonce } = JSON.parse(Buffer.from(code, 'base64url').toString()) as Grant;
    return sendJson(response, await tokenAnswer(issuer, privateKey, subject, nonce));
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    codeFor: (subject, nonce) => Buffer.from(JSON.stringify({ subject, nonce })).toString('base64url'),
    accessToken: (subject) =>
      sign(privateKey, 'at+jwt', { iss: issuer, aud: AUDIENCE, client_id: 'cli', scope: 'read', ...claimsOf(subject) }),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

type Grant = { readonly subject: string; readonly nonce: string | null };

async function tokenAnswer(issuer: string, key: SigningKey, subject: string, nonce: string | null): Promise<object> {
  const named = nonce === null ? {} : { nonce };
  return {
    access_token: accessTokenText(subject),
    token_type: 'Bearer',
    expires_in: TOKEN_LIFE_S,
    refresh_token: `refresh-${subject}`,
    scope: 'openid profile email',
    id_token: await sign(key, 'JWT', { iss: issuer, aud: CLIENT.id, ...named, ...claimsOf(subject) }),
  };
}

/** 800 characters, as access tokens often have; nobody reads them here. */
export function accessTokenText(subject: string): string {
  return `token-of-${subject}.`.padEnd(800, 'eyJhbGciOiJSUzI1NiIsImtpZCI6ImJlbmNoLTEifQ');
}

/** The same claims wherever the user comes from. */
export function claimsOf(subject: string): Readonly<Record<string, unknown>> {
  return {
    sub: subject,
    preferred_username: `user.${subject}`,
    name: `User ${subject}`,
    email: `${subject}@example.com`,
    email_verified: true,
    roles: ['user', 'editor', 'reports'],
  };
}

function sign(key: SigningKey, typ: string, claims: Readonly<Record<string, unknown>>): Promise<string> {
  const nowS = Math.floor(Date.now() / 1000);
  return new SignJWT({ ...claims, iat: nowS, exp: nowS + TOKEN_LIFE_S })
    .setProtectedHeader({ alg: 'RS256', kid: KEY_ID, typ })
    .sign(key);
}

function metadata(issuer: string): object {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
    token_endpoint_auth_methods_supported: ['client_secret_basic'],
    code_challenge_methods_supported: ['S256'],
  };
}

function sendJson(response: ServerResponse, value: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

async function readBody(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk;
  return text;
}
