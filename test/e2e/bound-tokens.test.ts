import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  decodeProtectedHeader,
  EmbeddedJWK,
  type JWK,
  type JWTPayload,
  jwtVerify,
} from 'jose';
import { WebSocket, WebSocketServer } from 'ws';
import { sha256Base64url } from '../../src/core/crypto.ts';
import { startService, type TestService } from '../proxy/world.ts';
import { type CookieJar, fetchWithJar } from '../support/provider.ts';
import { type SignInWorld, startSignInWorld } from '../support/signed-in.ts';

type Proof = { readonly payload: JWTPayload; readonly jkt: string };

const NONCE = 'a-nonce-of-the-service';

/** A resource server that takes nothing but bound tokens, each with a proof that was not used before (RFC 9449 §4.3, §7). */
class Guard {
  issuer = '';
  origin = '';
  nonce: string | undefined;
  readonly proofs: Proof[] = [];
  readonly #seen = new Set<string>();
  #keys: ReturnType<typeof createRemoteJWKSet> | undefined;

  async check({ method, url = '', headers }: IncomingMessage): Promise<string> {
    const [scheme, token = ''] = headers.authorization?.split(' ') ?? [];
    if (scheme !== 'DPoP') return 'no_bound_token';
    this.#keys ??= createRemoteJWKSet(new URL(`${this.issuer}/jwks`));
    const { payload: claims } = await jwtVerify(token, this.#keys, { issuer: this.issuer });
    const proof = String(headers['dpop']);
    const { payload } = await jwtVerify(proof, EmbeddedJWK, {
      typ: 'dpop+jwt',
      maxTokenAge: '1m',
      algorithms: ['ES256'],
    });
    const jkt = await calculateJwkThumbprint(decodeProtectedHeader(proof).jwk as JWK);
    this.proofs.push({ payload, jkt });
    assert.equal((claims['cnf'] as { jkt?: string }).jkt, jkt);
    assert.equal(payload['ath'], sha256Base64url(token));
    assert.equal(payload['htm'], method);
    assert.equal(payload['htu'], this.origin + url.replace(/\?.*/, ''));
    const jti = String(payload.jti);
    assert.ok(!this.#seen.has(jti), 'a proof came twice');
    this.#seen.add(jti);
    return this.nonce === undefined || payload['nonce'] === this.nonce ? 'ok' : 'use_dpop_nonce';
  }
}

type Admission = (isGood: boolean, code?: number, text?: string, headers?: Record<string, string>) => void;

async function admit(guard: Guard, req: IncomingMessage, answer: Admission): Promise<void> {
  const verdict = await guard.check(req).catch(String);
  answer(verdict === 'ok', 401, 'no', {
    'www-authenticate': `DPoP error="${verdict}"`,
    ...(guard.nonce === undefined ? {} : { 'dpop-nonce': guard.nonce }),
  });
}

describe('tokens bound to a key on their way to a service that checks the proofs', () => {
  const guard = new Guard();
  const socketGuard = new Guard();
  let sockets: WebSocketServer;
  let service: TestService;
  let world: SignInWorld;
  let alice: CookieJar;

  before(async () => {
    service = await startService((incoming, response) => {
      guard.check(incoming).then(
        (verdict) => {
          if (verdict === 'ok') return incoming.resume().on('end', () => response.end('served'));
          const nonce = verdict === 'use_dpop_nonce' ? { 'dpop-nonce': guard.nonce } : {};
          response.writeHead(401, { ...nonce, 'www-authenticate': `DPoP error="${verdict}"` }).end('no');
        },
        (error: unknown) => response.writeHead(403).end(String(error)),
      );
    });
    guard.origin = service.url;
    sockets = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      verifyClient: ({ req }, answer) => void admit(socketGuard, req, answer),
    });
    await once(sockets, 'listening');
    socketGuard.origin = `http://127.0.0.1:${(sockets.address() as AddressInfo).port}`;
    const plain = { urls: [service.url], token: { source: 'none' } };
    world = await startSignInWorld({
      client: () => ({ dpop_bound_access_tokens: true }),
      idp: { dpop: 'require' },
      provider: {
        configure: (configuration) => ({
          ...configuration,
          features: {
            ...(configuration['features'] as object),
            dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => false },
          },
        }),
      },
      routes: {
        version: 1,
        services: {
          api: { urls: [service.url], token: { source: 'session' } },
          plain,
          live: { urls: [socketGuard.origin], token: { source: 'session' } },
        },
        routes: [
          { id: 'api', paths: ['/api/*'], target_service: 'api' },
          { id: 'live', paths: ['/live/*'], target_service: 'live', websocket: {} },
          { id: 'plain', paths: ['/plain'], target_service: 'plain' },
        ],
      },
    });
    guard.issuer = world.provider.issuer;
    socketGuard.issuer = guard.issuer;
    alice = await world.signIn('alice');
  });
  after(async () => {
    await world?.close();
    await service?.close();
    sockets?.close();
  });
  beforeEach(() => {
    guard.nonce = undefined;
    guard.proofs.length = 0;
  });

  const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetchWithJar(alice, `${world.base}${path}`, { ...init, headers: { origin: world.base, 'x-csrf': '1' } });

  test('each request carries a fresh proof for exactly this method and address', async () => {
    for (const [path, method] of [
      ['/api/a?x=1', 'GET'],
      ['/api/a?x=1', 'GET'],
      ['/api/%C3%A4', 'DELETE'],
    ] as const) {
      const answer = await ask(path, { method });
      assert.equal(answer.status, 200, await answer.text());
    }
    const answer = await ask('/api/form', { method: 'POST', body: 'a body' });
    assert.equal(answer.status, 200, await answer.text());
    assert.equal(new Set(guard.proofs.map(({ payload }) => payload.jti)).size, 4);
  });

  test('sessions have keys of their own, and many requests at once all pass', async () => {
    const bob = await world.signIn('bob');
    const answers = await Promise.all(
      [alice, bob, alice, bob].map((jar) => fetchWithJar(jar, `${world.base}/api/many`)),
    );
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200, 200],
    );
    assert.equal(new Set(guard.proofs.map(({ jkt }) => jkt)).size, 2);
  });

  test('a service without a token gets neither token nor proof', async () => {
    await ask('/plain');
    assert.deepEqual([service.last().headers.authorization, service.last().headers['dpop']], [undefined, undefined]);
  });

  test('a proof of the browser does not pass', async () => {
    const answer = await fetchWithJar(alice, `${world.base}/api/x`, { headers: { dpop: 'mine' } });
    assert.equal(answer.status, 200);
    assert.equal(service.last().rawHeaders.filter((name) => name.toLowerCase() === 'dpop').length, 1);
  });

  test('what verify is asked for such a service is refused, not sent as Bearer', async () => {
    const answer = await world.verify(alice, { uri: '/api/x' });
    assert.equal(answer.status, 401);
    assert.equal(answer.headers.get('authorization'), null);
    assert.equal(((await answer.json()) as { code?: string }).code, 'no_token_available');
  });

  test('a body is not sent twice for a nonce; the next request knows it', async () => {
    guard.nonce = `${NONCE}-1`;
    const first = await ask('/api/a', { method: 'POST', body: 'once' });
    assert.equal(first.status, 401);
    assert.equal(first.headers.get('dpop-nonce'), null);
    assert.equal(guard.proofs.length, 1);
    const second = await ask('/api/a', { method: 'POST', body: 'once' });
    assert.equal(second.status, 200);
    assert.equal(guard.proofs.length, 2);
  });

  test('a read is repeated once with the nonce that the service wants', async () => {
    guard.nonce = `${NONCE}-2`;
    const answer = await ask('/api/a');
    assert.equal(answer.status, 200, await answer.text());
    assert.equal(guard.proofs.length, 2);
    guard.nonce = 'one"that is none';
    assert.equal((await ask('/api/a')).status, 401);
    assert.equal(guard.proofs.length, 3);
  });

  test('a handshake carries a proof, and is repeated once with the nonce that the service wants', async () => {
    const cookie = [...alice.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const open = async (): Promise<void> => {
      const socket = new WebSocket(`${world.base.replace('http', 'ws')}/live/a?b=c`, {
        origin: world.base,
        headers: { cookie },
      });
      await once(socket, 'open');
      socket.close();
      await once(socket, 'close');
    };
    await open();
    assert.equal(socketGuard.proofs.length, 1);
    socketGuard.nonce = `${NONCE}-3`;
    await open();
    assert.equal(socketGuard.proofs.length, 3);
    socketGuard.nonce = 'one"that is none';
    await assert.rejects(open(), /502/);
    assert.equal(socketGuard.proofs.length, 4);
  });

  test('tokens and proofs are in no log', () => {
    const text = JSON.stringify(world.server.log);
    assert.ok(!text.includes(String(service.last().headers['dpop'])));
    assert.ok(!text.includes(service.last().headers.authorization?.slice(5) ?? 'none'));
  });
});
