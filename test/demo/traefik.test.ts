import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { describeRemedy } from '../../scripts/parts.js';
import { type RunningServer, startHttpServer } from '../../src/cli/demo/http-server.ts';
import { findTraefik, type RunningTraefik, startTraefik } from '../../src/cli/demo/traefik.ts';
import {
  AUTH_REQUEST_HEADERS,
  AUTH_RESPONSE_HEADERS,
  compileDynamicConfig,
  compileStaticConfig,
} from '../../src/cli/demo/traefik-config.ts';
import { findFreePorts } from '../support/ports.ts';

const PORTS = { entry: 9000, sallyport: 9002, verify: 9003, spa: 9005, dashboard: 9007 };

type Routers = Record<string, { rule: string; priority: number; service: string; middlewares?: string[] }>;

describe('Traefik configuration of the demo', () => {
  const dynamic = compileDynamicConfig(PORTS) as {
    http: { routers: Routers; middlewares: Record<string, { forwardAuth?: Record<string, unknown> }> };
  };

  test('listens on loopback alone and calls nobody', () => {
    const config = compileStaticConfig(PORTS, '/x/routers.yml') as {
      global: object;
      entryPoints: Record<string, { address: string }>;
    };
    assert.deepEqual(config.global, { checkNewVersion: false, sendAnonymousUsage: false });
    assert.deepEqual(
      Object.values(config.entryPoints).map((entry) => entry.address),
      ['127.0.0.1:9000'],
    );
  });

  test('every router has a priority, and verify is denied above the router that leads to Sallyport', () => {
    const { routers } = dynamic.http;
    assert.ok(Object.values(routers).every((router) => Number.isInteger(router.priority)));
    assert.ok((routers['verify-denied']?.priority ?? 0) > (routers['auth']?.priority ?? Number.POSITIVE_INFINITY));
    assert.equal(Math.min(...Object.values(routers).map((router) => router.priority)), routers['spa']?.priority);
  });

  test('ForwardAuth trusts no forwarded header, sends what verify reads and copies the whole identity', () => {
    const forwardAuth = dynamic.http.middlewares['sign-in']?.forwardAuth ?? {};
    assert.equal(forwardAuth['address'], 'http://127.0.0.1:9003/auth/verify');
    assert.equal(forwardAuth['trustForwardHeader'], false);
    assert.deepEqual(forwardAuth['authRequestHeaders'], AUTH_REQUEST_HEADERS);
    assert.deepEqual(forwardAuth['authResponseHeaders'], AUTH_RESPONSE_HEADERS);
  });
});

describe('finding Traefik', () => {
  test('SALLYPORT_TRAEFIK is used when it can be executed and never replaced when it cannot', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-find-'));
    try {
      const program = join(folder, 'traefik');
      await writeFile(program, '#!/bin/sh\n', { mode: 0o755 });
      assert.equal(findTraefik({ SALLYPORT_TRAEFIK: program, PATH: '' }), program);
      assert.equal(findTraefik({ SALLYPORT_TRAEFIK: join(folder, 'absent'), PATH: folder }), undefined);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('a program that ends at once is reported with what it printed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-find-'));
    try {
      const binary = join(folder, 'traefik');
      await writeFile(binary, '#!/bin/sh\necho "cannot go on" >&2\nexit 3\n', { mode: 0o755 });
      const ports = { ...PORTS, entry: await findFreePorts(1) };
      await assert.rejects(startTraefik({ binary, ports }), /Traefik ended at once; it printed:\ncannot go on/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

const binary = findTraefik();
const skip = binary === undefined ? `needs Traefik: ${describeRemedy('traefik')}` : false;

describe('a real Traefik with the routers of the demo', { skip }, () => {
  const servers: RunningServer[] = [];
  let traefik: RunningTraefik;
  let origin: string;
  let verdict: number;
  let seenByVerify: Record<string, unknown>;

  before(async () => {
    const name = async (text: string): Promise<number> => {
      const server = await startHttpServer({
        port: 0,
        handler: (request, response) => void response.end(`${text} ${request.url} ${JSON.stringify(request.headers)}`),
      });
      servers.push(server);
      return server.port;
    };
    const verify = await startHttpServer({
      port: 0,
      handler: (request, response) => {
        seenByVerify = request.headers;
        const identity = { 'x-user-id': 'u-1', 'x-user-email': '' };
        response.writeHead(verdict, verdict === 200 ? identity : { location: 'http://localhost/elsewhere' }).end();
      },
    });
    servers.push(verify);
    const ports = {
      entry: await findFreePorts(1),
      sallyport: await name('sallyport'),
      spa: await name('spa'),
      dashboard: await name('dashboard'),
      verify: verify.port,
    };
    traefik = await startTraefik({ binary: binary ?? '', ports });
    origin = `http://localhost:${ports.entry}`;
  });
  after(async () => {
    await traefik?.close();
    await Promise.all(servers.map((server) => server.close()));
  });

  const destinations: [string, RegExp][] = [
    ['/', /^spa \/ /],
    ['/app.js', /^spa \/app\.js /],
    ['/authx', /^spa \/authx /],
    ['/auth/login?return_to=/', /^sallyport \/auth\/login\?return_to=\/ /],
    ['/api/auth/session', /^sallyport \/api\/auth\/session /],
    ['/auth/verifying', /^sallyport \/auth\/verifying /],
  ];
  for (const [path, expected] of destinations) {
    test(`${path} reaches ${expected.source.slice(1).split(' ')[0]}`, async () => {
      assert.match(await (await fetch(origin + path)).text(), expected);
    });
  }

  for (const path of ['/auth/verify', '/auth/verify/x', '/auth/forward', '/auth/forward/', '/auth/validate?a=b']) {
    test(`${path} is denied at the gateway`, async () => {
      const response = await fetch(origin + path);
      assert.deepEqual([response.status, await response.text()], [403, 'Forbidden']);
    });
  }

  test('the dashboard gets the identity of verify and nothing that the client claims to be', async () => {
    verdict = 200;
    const headers = {
      'x-user-id': 'forged',
      'x-user-email': 'forged@example.com',
      'x-user-roles': 'admin',
      X_User_Id: 'forged',
      'x-forwarded-uri': '/public',
    };
    const text = await (await fetch(`${origin}/dashboard?tab=1`, { headers })).text();
    assert.match(text, /^dashboard \/dashboard\?tab=1 /);
    assert.ok(text.includes('"x-user-id":"u-1"'));
    assert.ok(!text.includes('forged') && !text.includes('admin'));
    assert.equal(seenByVerify['x-forwarded-uri'], '/dashboard?tab=1');
    assert.equal(seenByVerify['x-forwarded-host'], origin.slice('http://'.length));
  });

  test('a refusal of verify goes to the browser as it is', async () => {
    verdict = 302;
    const response = await fetch(`${origin}/dashboard/x`, { redirect: 'manual' });
    assert.deepEqual([response.status, response.headers.get('location')], [302, 'http://localhost/elsewhere']);
  });

  test('the numeric address leads to the host name that owns the cookie', async () => {
    const numeric = origin.replace('localhost', '127.0.0.1');
    const response = await fetch(`${numeric}/a?b=c`, { redirect: 'manual' });
    assert.deepEqual([response.status, response.headers.get('location')], [302, `${origin}/a?b=c`]);
  });

  test('closing frees the port and leaves no process', async () => {
    await traefik.close();
    await assert.rejects(fetch(origin));
    assert.throws(() => process.kill(-traefik.pid, 0), { code: 'ESRCH' });
    assert.ok(!existsSync(`/proc/${traefik.pid}`));
  });
});
