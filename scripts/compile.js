/**
 * `node scripts/compile.js`: starts the built program once on loopback ports of its own, and keeps beside it what V8 compiled
 * until it had answered. Every start of the same Node begins with that; another one compiles anew. The service itself
 * never writes there, so the folder may be read-only. Run by postinstall.js. Plain JavaScript without dependencies.
 */

import { randomBytes } from 'node:crypto';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import program from '../bin/program.js';

const ANSWER_MS = 20_000;
const POLL_MS = 10;
/** Discovery, keys, and the first attempts to reach the store. */
const SETTLE_MS = 300;
const HOST = 'app.example.com';

async function compile() {
  const provider = await startProvider();
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-compile-'));
  // The program ends the process itself where it cannot start.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const port = await pickPort();
  writeConfiguration(folder, port, provider.issuer);
  const { main, compiled } = program.loadProgram();
  void main(['serve', '--config', folder]);
  await whenAnswered(port);
  await sleep(SETTLE_MS);
  // Under another name first: a start must never find half of it.
  const draft = `${program.COMPILED}.${process.pid}`;
  writeFileSync(draft, compiled());
  renameSync(draft, program.COMPILED);
}

/** The usual kind of configuration: a provider, a store that is not there, a route. */
function writeConfiguration(folder, port, issuer) {
  const settings = {
    version: 1,
    sites: { main: { public_url: `https://${HOST}` } },
    listen: { public: { address: '127.0.0.1', port: 0 }, verify: { address: '127.0.0.1', port } },
    trusted_proxies: ['loopback'],
    keys: { seal: [{ id: 'k1', secret: randomBytes(32).toString('base64url') }] },
    session: { idle: '1h', absolute: '12h' },
    store: { kind: 'redis', redis: { url: 'redis://127.0.0.1:9' } },
    log: { level: 'fatal' },
  };
  const client_auth = { method: 'client_secret_basic', secret: 'nobody-asks-for-it' };
  const providers = { main: { issuer, client_id: 'compile', client_auth, scopes: ['openid'] } };
  const routes = [{ id: 'all', paths: ['/*'], target_service: 'app' }];
  const files = {
    settings,
    idps: { version: 1, providers },
    routes: { version: 1, services: { app: { urls: ['http://127.0.0.1:9'] } }, routes },
  };
  for (const [name, content] of Object.entries(files))
    writeFileSync(join(folder, `${name}.yaml`), JSON.stringify(content));
}

/** @returns {Promise<{ issuer: string }>} a provider that has metadata and no keys; it ends with this process */
async function startProvider() {
  const server = createHttpServer(({ url }, response) => {
    response
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify(url === '/jwks' ? { keys: [] } : metadata));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const metadata = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['RS256'],
  };
  return { issuer };
}

async function whenAnswered(port) {
  for (const end = performance.now() + ANSWER_MS; performance.now() < end; await sleep(POLL_MS)) {
    if (await ask(port)) return;
  }
  throw new Error('no answer');
}

/** Whether a verify request was answered. */
function ask(port) {
  const lines = ['GET /auth/verify HTTP/1.1', `Host: ${HOST}`, 'X-Forwarded-Method: GET', 'X-Forwarded-Proto: https'];
  const request = [...lines, `X-Forwarded-Host: ${HOST}`, 'X-Forwarded-Uri: /', '', ''].join('\r\n');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(request));
    socket.once('data', () => {
      resolve(true);
      socket.destroy();
    });
    socket.once('error', () => resolve(false)).once('close', () => resolve(false));
  });
}

function pickPort() {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

await compile();
process.exit(0);
