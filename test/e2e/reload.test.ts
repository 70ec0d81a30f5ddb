// SIGHUP: a new version of the configuration without a lost connection, a lost request or a lost session (D-43).
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { findOnPath } from '../../scripts/parts.js';
import { LISTEN_H2, UNUSED_IDPS, verifyHeaders } from '../support/h2.ts';
import { answered, type Load, startLoad } from '../support/keep-alive-load.ts';
import { skipWithout } from '../support/parts.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { createCertificates } from '../support/redis-tls.ts';
import { findChildren, OPEN_ROUTES, type ServeProcess, spawnServe } from '../support/serve-process.ts';
import { startSignInWorld } from '../support/signed-in.ts';
import { startTestServer } from '../support/test-server.ts';
import { until } from '../support/until.ts';

const ANYWHERE = { address: '127.0.0.1', port: 0 };
const FRESH_ROUTES = {
  version: 1,
  routes: [...OPEN_ROUTES.routes, { id: 'fresh', paths: ['/fresh/*'], auth: 'none' }],
};

function headersFor(uri: string): Record<string, string> {
  const { ':path': _, ...headers } = verifyHeaders(uri) as Record<string, string>;
  return headers;
}

for (const workers of [1, 2]) {
  describe(`SIGHUP, workers: ${workers}`, { skip: skipWithout('redis-server', 'openssl') }, () =>
    describeReload(workers),
  );
}

function describeReload(workers: number): void {
  let redis: TestRedis;
  let serve: ServeProcess;
  const settings = (more: object = {}) => ({
    listen: { public: ANYWHERE, verify: ANYWHERE, verify_h2: LISTEN_H2, admin: ANYWHERE },
    workers,
    scheduling: 'batch',
    store: { kind: 'redis', redis: { url: redis.url } },
    shutdown: { unready: '0s', drain: '5s' },
    log: { level: 'info' },
    ...more,
  });
  const underLoad = async (act: () => Promise<unknown>): Promise<Load['counts']> => {
    const { verify: port } = serve.ports();
    const loads = [
      startLoad({ port, clients: 16, path: '/auth/verify', headers: headersFor('/open/x') }),
      startLoad({ port, clients: 4, path: '/auth/verify', headers: headersFor('/open/x'), perConnection: 1 }),
    ];
    const total = (): number => loads.reduce((sum, { counts }) => sum + answered(counts, 200), 0);
    await until(() => total() > 500, 'load', 20_000);
    await act();
    const mark = total();
    await until(() => total() > mark + 500, 'load goes on', 20_000);
    await Promise.all(loads.map((load) => load.stop()));
    const [kept, dialled] = loads.map(({ counts }) => counts);
    assert.equal(kept?.opened, 16, 'no connection was ended');
    for (const counts of [kept, dialled]) {
      assert.deepEqual([counts?.cut, counts?.refused], [0, 0]);
      assert.deepEqual([...(counts?.answers.keys() ?? [])], [200]);
    }
    return kept as Load['counts'];
  };
  const ask = async (uri: string): Promise<number> => {
    const url = `http://127.0.0.1:${serve.ports().verify}/auth/verify`;
    return (await fetch(url, { headers: { ...headersFor(uri), connection: 'close' } })).status;
  };

  before(async () => {
    redis = await startRedis();
    serve = spawnServe({ settings: settings() });
    await until(() => serve.ports().admin !== 0, 'it listens', 30_000);
    const readyz = `http://127.0.0.1:${serve.ports().admin}/readyz`;
    await until(async () => (await fetch(readyz)).status === 200, 'ready', 10_000);
  });
  after(async () => {
    await serve?.remove();
    await redis?.remove();
  });

  test('under load: new routes hold in every process, and nobody is disturbed', async () => {
    assert.equal(await ask('/fresh/x'), 401);
    const processes = await findChildren(serve.pid);
    await underLoad(async () => {
      serve.configure({ settings: settings(), routes: FRESH_ROUTES });
      serve.signal('SIGHUP');
      await serve.logged('reloaded');
    });
    for (let n = 0; n < 20; n++) assert.equal(await ask('/fresh/x'), 200);
    assert.deepEqual(await findChildren(serve.pid), processes, 'the same processes go on');
  });

  test('a faulty file: every problem is logged, the running version serves on', async () => {
    await underLoad(async () => {
      serve.write('routes.yaml', 'version: 1\nroutes: [{id: a, pathz: 1}]\n');
      serve.write('settings.yaml', '{"version": 1');
      serve.signal('SIGHUP');
      await serve.logged('reload refused: the running configuration stays');
    });
    const line = await serve.logged('reload refused: the running configuration stays');
    const problems = (line['problems'] as string[]).join('\n');
    assert.match(problems, /settings\.yaml:1/);
    assert.match(problems, /routes\.yaml:2:\d+ routes\[0\]/);
    for (let n = 0; n < 10; n++) assert.equal(await ask('/fresh/x'), 200);
  });

  test('a store that cannot be reached: refused as a whole', async () => {
    const store = { kind: 'redis', redis: { url: 'redis://127.0.0.1:9' } };
    serve.configure({ settings: settings({ store }), routes: OPEN_ROUTES });
    serve.signal('SIGHUP');
    const line = await serve.logged('reload refused: the running configuration stays', 2);
    assert.match(JSON.stringify(line['err']), /does not get ready/);
    assert.equal(await ask('/fresh/x'), 200);
  });

  test('what needs a restart is named, the rest is taken', async () => {
    const listen = { public: ANYWHERE, verify: { ...ANYWHERE, port: 1 }, verify_h2: LISTEN_H2, admin: ANYWHERE };
    serve.configure({ settings: settings({ listen, limits: { header_bytes: '16KiB' } }), routes: OPEN_ROUTES });
    serve.signal('SIGHUP');
    const line = await serve.logged('reload: these keys wait for a restart');
    assert.deepEqual(line['keys'], ['listen.verify', 'limits.header_bytes']);
    await serve.logged('reloaded', 2);
    for (let n = 0; n < 10; n++) assert.equal(await ask('/fresh/x'), 401);
    assert.equal(await ask('/open/x'), 200);
  });

  test('a new certificate is shown to new connections', async () => {
    const certificates = await createCertificates();
    const { serverCert, serverKey } = certificates.files;
    const first = await fingerprint(serve.ports().verifyH2);
    const verify_h2 = { ...LISTEN_H2, tls: { cert_file: serverCert, key_file: serverKey } };
    serve.configure({
      settings: settings({ listen: { public: ANYWHERE, verify: ANYWHERE, verify_h2, admin: ANYWHERE } }),
    });
    serve.signal('SIGHUP');
    await serve.logged('reloaded', 3);
    for (let n = 0; n < 10; n++) assert.notEqual(await fingerprint(serve.ports().verifyH2), first);
    await certificates.remove();
  });

  test('scheduling: batch, in every process that serves', async () => {
    const processes = workers === 1 ? [serve.pid] : await findChildren(serve.pid);
    if (findOnPath(['chrt']) === undefined) {
      await serve.logged('scheduling: batch needs the command chrt (util-linux); scheduling stays normal');
      return;
    }
    for (const pid of processes) {
      assert.match(execFileSync('chrt', ['--pid', String(pid)], { encoding: 'utf8' }), /SCHED_BATCH/);
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /sallyport/);
    }
  });
}

function fingerprint(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

describe('a reload', () => {
  test('keeps the sessions that only memory holds, and lets new identity headers hold at once', async () => {
    const world = await startSignInWorld();
    try {
      const jar = await world.signIn('alice');
      const before = await world.verify(jar);
      assert.deepEqual([before.status, before.headers.get('x-user-name')], [200, null]);
      await world.server.reload((config) => ({
        ...config,
        identityHeaders: [{ name: 'X-User-Name', source: { kind: 'principal', field: 'username', list: 'first' } }],
      }));
      const now = await world.verify(jar);
      assert.deepEqual(
        [now.status, now.headers.get('x-user-name'), now.headers.get('x-user-id')],
        [200, 'alice', null],
      );
      const again = await world.signIn('bob');
      assert.equal((await world.verify(again)).headers.get('x-user-name'), 'bob');
      assert.equal(await world.server.metric('sallyport_logins_total'), 2, 'counters go on');
    } finally {
      await world.close();
    }
  });

  test('lets a stream through the proxy run to its end, then lets go of its service', async () => {
    let finish = (): void => undefined;
    const service = createServer((_request, response) => {
      response.write('begun ');
      finish = () => void response.end('and ended');
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
    const server = await startTestServer({
      idps: UNUSED_IDPS,
      routes: {
        version: 1,
        services: { api: { urls: [url], token: { source: 'none' } } },
        routes: [{ id: 'api', paths: ['/api/*'], target_service: 'api', auth: 'none' }],
      },
    });
    const sockets = (): Promise<number> =>
      new Promise((resolve) => service.getConnections((_error, count) => resolve(count)));
    const answer = await fetch(`http://127.0.0.1:${server.ports.public}/api/stream`, {
      headers: { 'x-forwarded-host': 'app.example.test', 'x-forwarded-proto': 'https' },
    });
    assert.equal(answer.status, 200);
    await server.reload((config) => ({ ...config, routes: [] }));
    const gone = await fetch(`http://127.0.0.1:${server.ports.public}/api/other`, {
      headers: { 'x-forwarded-host': 'app.example.test', 'x-forwarded-proto': 'https' },
    });
    assert.equal(gone.status, 404, 'new requests follow the new routes');
    await gone.text();
    assert.equal(await sockets(), 1);
    finish();
    assert.equal(await answer.text(), 'begun and ended');
    await until(async () => (await sockets()) === 0, 'the old connections to the service are closed');
    await server.close();
    service.close();
  });
});
