import { createHash } from 'node:crypto';
import { request as httpRequest, type ServerResponse } from 'node:http';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  exportJWK,
  generateKeyPair,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose';
import type { DemoProvider } from '../../src/cli/demo/provider.ts';
import {
  type Behaviour,
  type MisbehavingService,
  type ReceivedRequest,
  startMisbehavingService,
} from './misbehaving-service.ts';

/** A token that was exchanged. */
export type Exchanged = { readonly form: URLSearchParams; readonly token: string };

/** What an exchange may be told to do otherwise: members of the answer, claims of the token; undefined drops one. */
export type ExchangePatch = {
  readonly answer?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
};

/**
 * The token endpoint of a provider that knows RFC 8693 in front of one that does not: exchanges are answered here, with
 * the subject token verified against the provider's keys; everything else goes on to the provider.
 */
export type ExchangeProvider = {
  readonly front: MisbehavingService;
  /** Explicit endpoints for idps.yaml. */
  readonly endpoints: Readonly<Record<string, string>>;
  readonly exchanged: readonly Exchanged[];
  /** Of all grants, in order: grant type and the answer's members. */
  readonly granted: readonly { readonly grant: string; readonly body: Readonly<Record<string, unknown>> }[];
  /** Exchanges are answered so from now on. */
  patch: ExchangePatch;
  /** Verify a token as a service does: signature, audience, time. */
  verify(token: string, audience: string): Promise<JWTPayload>;
  close(): Promise<void>;
};

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ACCESS_TOKEN = 'urn:ietf:params:oauth:token-type:access_token';
const LIFE_S = 300;

/** Start it before a provider. */
export async function startExchangeProvider(provider: DemoProvider): Promise<ExchangeProvider> {
  const { publicKey, privateKey } = await generateKeyPair('ES256', { extractable: true });
  const own = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: 'sts', alg: 'ES256' }] });
  const theirs = createRemoteJWKSet(new URL(`${provider.issuer}/jwks`));
  const exchanged: Exchanged[] = [];
  const granted: { grant: string; body: Record<string, unknown> }[] = [];
  const state = { patch: {} as ExchangePatch };
  const exchange = async (form: URLSearchParams, response: ServerResponse): Promise<void> => {
    const subject = await jwtVerify(form.get('subject_token') ?? '', theirs, { issuer: provider.issuer }).catch(
      () => {},
    );
    if (subject === undefined || form.get('subject_token_type') !== ACCESS_TOKEN) {
      return reply(response, 400, { error: 'invalid_request' });
    }
    const token = await new SignJWT({
      sub: String(subject.payload.sub),
      aud: form.get('audience') ?? '',
      scope: form.get('scope') ?? '',
      // As of RFC 9068: no two tokens are the same.
      jti: createHash('sha256').update(`${exchanged.length}`).digest('hex'),
      iss: provider.issuer,
      exp: Math.floor(Date.now() / 1000) + LIFE_S,
      act: { sub: 'bff' },
      ...state.patch.claims,
    })
      .setProtectedHeader({ alg: 'ES256', kid: 'sts', typ: 'at+jwt' })
      .sign(privateKey);
    exchanged.push({ form, token });
    const body = { access_token: token, issued_token_type: ACCESS_TOKEN, token_type: 'Bearer', expires_in: LIFE_S };
    granted.push({ grant: EXCHANGE, body });
    reply(response, 200, { ...body, ...state.patch.answer });
  };
  const usual: Behaviour = async (request, response) => {
    const form = new URLSearchParams(request.body);
    if (form.get('grant_type') === EXCHANGE) return exchange(form, response);
    const body = await pass(provider.issuer, request, response);
    granted.push({ grant: form.get('grant_type') ?? '', body: JSON.parse(body) });
  };
  const front = await startMisbehavingService(usual);
  return Object.assign(state, {
    front,
    endpoints: {
      authorization: `${provider.issuer}/auth`,
      token: `${front.url}/token`,
      jwks: `${provider.issuer}/jwks`,
      userinfo: `${provider.issuer}/me`,
      revocation: `${provider.issuer}/token/revocation`,
      end_session: `${provider.issuer}/session/end`,
    },
    exchanged,
    granted,
    async verify(token: string, audience: string) {
      const options = { issuer: provider.issuer, audience };
      const { payload } = await jwtVerify(token, own, options).catch(() => jwtVerify(token, theirs, options));
      return payload;
    },
    close: () => front.close(),
  });
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(body));
}

/** Carry a request on and its answer back. */
function pass(origin: string, request: ReceivedRequest, response: ServerResponse): Promise<string> {
  const { host: _host, connection: _connection, ...headers } = request.headers;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const outgoing = httpRequest(`${origin}${request.path}`, { method: request.method, headers, agent: false });
  outgoing.on('error', reject);
  outgoing.on('response', (incoming) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('error', reject);
    incoming.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8');
      response.writeHead(incoming.statusCode ?? 502, { 'content-type': 'application/json' }).end(body);
      resolve(body);
    });
  });
  outgoing.end(request.body);
  return promise;
}
