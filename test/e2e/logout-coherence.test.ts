// Two processes with caches on one real Redis: what a provider or a user ends at one of them is over at both.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createServer, type Server as HttpServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { skipWithout } from '../support/parts.ts';
import { createSigningKey, type SigningKey } from '../support/scripted-provider.ts';
import { type CoherenceWorld, openCoherence, reportDelays, type Server, type Subject } from './coherence-world.ts';

const HEARTBEAT_MS = 500;
/** docs/operations.md: how long a session that ended may be honoured, whatever becomes of the channel. */
const BOUND_MS = 2 * HEARTBEAT_MS;
/** Long after anything that is right. */
const DEADLINE_MS = 20_000;

describe('1,000 sessions on two processes with caches', { skip: skipWithout('redis-server'), timeout: 240_000 }, () => {
  let world: CoherenceWorld;
  let key: SigningKey;
  let keyServer: HttpServer;
  let issuer: string;

  before(async () => {
    key = await createSigningKey('ES256', 'coherence');
    keyServer = createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ keys: [key.jwk] }));
    });
    await new Promise<void>((resolve) => keyServer.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}`;
    const endpoints = { authorization: `${issuer}/a`, token: `${issuer}/t`, jwks: `${issuer}/j` };
    world = await openCoherence({
      processes: 2,
      l1: { heartbeat: `${HEARTBEAT_MS}ms` },
      commandTimeout: '5s',
      idp: { issuer, endpoints, id_token_algs: ['ES256'], logout: { mode: 'local' } },
    });
  });
  after(async () => {
    await world.close();
    keyServer.closeAllConnections();
    await new Promise((resolve) => keyServer.close(resolve));
  });

  test('500 end one by one by back-channel logout at one process: both refuse, and never allow again', async (t) => {
    const subjects = await world.create(500, { sids: true });
    await warm(subjects);
    const delays: number[] = [];
    for (const [index, subject] of subjects.entries()) {
      const server = world.servers[index % 2]!;
      const token = await logoutToken(subject.session.hot.sid);
      assert.equal(await post(server, '/auth/backchannel-logout', `logout_token=${token}`), 200);
      delays.push(await refusalOf(subject, performance.now()));
    }
    reportDelays(t, 'back-channel logout', delays);
  });

  test('500 of ten users end by everywhere=true of one session each', async (t) => {
    const delays: number[] = [];
    for (let user = 0; user < 10; user += 1) {
      const subjects = await world.create(50, { user: `everywhere-${user}` });
      await warm(subjects);
      const headers = { origin: 'https://app.example.test', cookie: `bff_session=${subjects[0]!.handle}` };
      assert.equal(await post(world.servers[user % 2]!, '/auth/logout?everywhere=true', '', headers), 200);
      const endedAt = performance.now();
      // All at once would measure how long the requests wait for each other.
      delays.push(...(await Promise.all(subjects.slice(0, 5).map((subject) => refusalOf(subject, endedAt)))));
      for (const server of world.servers) {
        const statuses = await Promise.all(subjects.map(({ handle }) => server.verify(handle)));
        assert.deepEqual(new Set(statuses), new Set([401]));
      }
    }
    reportDelays(t, 'everywhere', delays);
  });

  /** Both caches have them, and serve them. */
  async function warm(subjects: readonly Subject[]): Promise<void> {
    for (const server of world.servers) {
      for (let round = 0; round < 2; round += 1) {
        const statuses = await Promise.all(subjects.map(({ handle }) => server.verify(handle)));
        assert.deepEqual(new Set(statuses), new Set([200]));
      }
    }
  }

  async function refusalOf({ handle }: Subject, endedAt: number): Promise<number> {
    const delays = await Promise.all(
      world.servers.map(async (server) => {
        let askedAt = performance.now();
        while ((await server.verify(handle)) === 200) {
          assert.ok(askedAt - endedAt <= BOUND_MS, `allowed ${Math.round(askedAt - endedAt)} ms after its end`);
          await sleep(1);
          askedAt = performance.now();
        }
        const delayMs = performance.now() - endedAt;
        assert.ok(delayMs < DEADLINE_MS);
        assert.equal(await server.verify(handle), 401, 'allowed again');
        return delayMs;
      }),
    );
    return Math.max(...delays);
  }

  function logoutToken(sid: string | undefined): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} };
    const claims = { iss: issuer, aud: 'bff', sid, jti: randomUUID(), iat: now, exp: now + 120, events };
    return new SignJWT(claims)
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'logout+jwt' })
      .sign(key.privateKey);
  }
});

function post(
  server: Server,
  path: string,
  body: string,
  more: Readonly<Record<string, string>> = {},
): Promise<number> {
  const headers = {
    host: 'app.example.test',
    accept: 'application/json',
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': String(body.length),
    ...more,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port: server.port, path, method: 'POST', headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    outgoing.once('error', reject);
    outgoing.end(body);
  });
}
