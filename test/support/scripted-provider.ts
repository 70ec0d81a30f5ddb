import { randomBytes } from 'node:crypto';
import { request as httpRequest, type ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import { startProvider, type User } from '../../scripts/attacks/provider.ts';
import {
  answerJson,
  type MisbehavingService,
  type ReceivedRequest,
  startMisbehavingService,
} from './misbehaving-service.ts';

/** Members that change a token answer: as `token_response` in the attack files (scripts/attacks/provider.ts). */
export type TokenPatch = Readonly<Record<string, unknown>>;

/** What an authorization code stands for. */
export type Grant = { readonly nonce: string | null; readonly patch?: TokenPatch; readonly user?: User };

/** The provider that follows a script, behind a front that misbehaves per path on command. */
export type ScriptedProvider = {
  readonly issuer: string;
  /** Every request passes here: break its paths, count its requests, take it down. */
  readonly front: MisbehavingService;
  /** A new authorization code for a grant, as a sign-in at the provider would give. */
  codeFor(grant: Grant): string;
  /** Answer token requests so much later from now on. */
  delayTokens(ms: number): void;
  /** Every code, verifier and token that went through, and the client secret: none may appear where it does not belong. */
  secrets(): readonly string[];
  /** idps.yaml for this provider; `different` replaces keys of the provider's entry. */
  idps(different?: Readonly<Record<string, unknown>>): object;
  /** The usual metadata with some members replaced; `undefined` drops one. */
  metadata(different: Readonly<Record<string, unknown>>): Promise<object>;
  close(): Promise<void>;
};

/** An additional signing key of a provider. */
export type SigningKey = Awaited<ReturnType<typeof createSigningKey>>;

export const ALICE: User = { sub: 'u-alice', username: 'alice', email: 'alice@example.test', roles: ['editor'] };
/** Client secret of every scripted provider. */
export const CLIENT_SECRET = 'scripted-client-secret-of-some-length';
const CLIENT_ID = 'bff-client';

/** Start the provider on free loopback ports. Its issuer is the front's own address. */
export async function startScriptedProvider(): Promise<ScriptedProvider> {
  const grants = new Map<string, Grant>();
  const secrets = new Set<string>([CLIENT_SECRET]);
  // The provider within remembers one script for all requests: one token request at a time.
  let turn: Promise<void> = Promise.resolve();
  let delayMs = 0;
  const front = await startMisbehavingService(async (request, response) => {
    if (request.path !== '/token') return pass(backchannel(), request, response);
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    const own = turn.then(() => answerToken(request, response));
    turn = own.catch(() => {});
    return own;
  });
  const inner = await startProvider(front.url);
  const backchannel = (): string => inner.backchannelUrl;

  async function answerToken(request: ReceivedRequest, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(request.body);
    secrets.add(form.get('code_verifier') ?? '');
    const { nonce = null, patch = {}, user = ALICE } = grants.get(form.get('code') ?? '') ?? {};
    inner.arm({ user, nonce, patch, beforeAnswer: undefined });
    await pass(backchannel(), request, response, (body) => noteTokens(body, secrets));
  }

  return {
    issuer: front.url,
    front,
    codeFor(grant) {
      const code = `code-${randomBytes(18).toString('base64url')}`;
      grants.set(code, grant);
      secrets.add(code);
      return code;
    },
    delayTokens(ms) {
      delayMs = ms;
    },
    secrets: () => [...secrets].filter((secret) => secret.length >= 16),
    idps: (different = {}) => ({
      version: 1,
      providers: {
        main: {
          issuer: front.url,
          client_id: CLIENT_ID,
          client_auth: { method: 'client_secret_basic', secret: CLIENT_SECRET },
          scopes: 'openid profile email',
          timeout: { connect: '500ms', total: '600ms' },
          ...different,
        },
      },
    }),
    async metadata(different) {
      const response = await fetch(`${backchannel()}/.well-known/openid-configuration`);
      return { ...((await response.json()) as object), ...different };
    },
    async close() {
      await front.close();
      await inner.close();
    },
  };
}

/** Make a key pair with its public JWK. */
export async function createSigningKey(alg: string, kid: string) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } };
}

/** Publish exactly these keys. */
export function publishKeys(provider: ScriptedProvider, ...keys: readonly SigningKey[]): void {
  provider.front.on('/jwks', answerJson({ keys: keys.map(({ jwk }) => jwk) }));
}

/** A valid ID token for a login, signed with a key of the test's own; `different` replaces claims, `header` members. */
export function signIdToken(
  provider: ScriptedProvider,
  key: Pick<SigningKey, 'alg' | 'kid'> & { readonly privateKey: SigningKey['privateKey'] | Uint8Array },
  nonce: string,
  different: Readonly<Record<string, unknown>> = {},
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: provider.issuer,
    sub: ALICE.sub,
    aud: CLIENT_ID,
    iat: now,
    exp: now + 300,
    nonce,
    ...different,
  };
  return new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.privateKey);
}

function noteTokens(body: string, secrets: Set<string>): void {
  const members: unknown = body.startsWith('{') ? JSON.parse(body) : {};
  for (const name of ['access_token', 'refresh_token', 'id_token']) {
    const value = (members as Record<string, unknown>)[name];
    if (typeof value === 'string') secrets.add(value);
  }
}

/** Carry a request to the provider within and its answer back. */
function pass(
  origin: string,
  request: ReceivedRequest,
  response: ServerResponse,
  look: (body: string) => void = () => {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const target = `${origin}${request.path}${request.query === '' ? '' : `?${request.query}`}`;
    const outgoing = httpRequest(
      target,
      { method: request.method, headers: request.headers, agent: false },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', reject);
        incoming.on('end', () => {
          const body = Buffer.concat(chunks);
          look(body.toString('utf8'));
          const { connection: _connection, 'transfer-encoding': _framing, ...headers } = incoming.headers;
          response.writeHead(incoming.statusCode ?? 502, headers).end(body);
          resolve();
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(request.body);
  });
}
