// The addresses that the README names, asked of a running server.
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { readProject } from '../support/docs.ts';
import { startTestServer, type TestServer } from '../support/test-server.ts';

const README = readProject('README.md');
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'];

type Answer = { readonly status: number; readonly body: string };

/** Rows of the table of public addresses. */
function readRows(): readonly { readonly address: string; readonly methods: readonly string[] }[] {
  const table = README.slice(README.indexOf('| address | methods | answer |')).split('\n\n')[0] ?? '';
  return [...table.matchAll(/^\| (`[^|]+`) \| ([A-Z, ]+) \|/gm)].flatMap(([, addresses = '', methods = '']) => {
    return [...addresses.matchAll(/`([^`]+)`/g)].map(([, address = '']) => ({ address, methods: methods.split(', ') }));
  });
}

describe('addresses of the README', () => {
  let server: TestServer;
  before(async () => {
    // Endpoints spelled out: nothing has to be read from a provider.
    const endpoints = {
      authorization: 'https://id.example.test/authorize',
      token: 'https://id.example.test/token',
      jwks: 'https://id.example.test/jwks',
    };
    const client = { client_id: 'x', client_auth: { secret: 'a-client-secret-of-some-length' } };
    server = await startTestServer({
      settings: { logout: { frontchannel: true } },
      idps: { version: 1, providers: { main: { issuer: 'https://id.example.test', endpoints, ...client } } },
    });
  });
  after(() => server.close());

  const rows = readRows();
  test('there are rows', () => assert.ok(rows.length >= 8));

  for (const { address, methods } of rows) {
    test(`${address} answers ${methods.join(' and ')} and no other method`, async () => {
      for (const method of METHODS) {
        const { status } = await ask(server.ports.public, address, method);
        assert.notEqual(status, 404, `${method} ${address}`);
        assert.equal(status === 405, !methods.includes(method), `${method} ${address}: ${status}`);
      }
    });
  }

  test('every address of src/endpoints.ts is there', () => {
    const source = readProject('src/endpoints.ts');
    const prefixes: Readonly<Record<string, string>> = { auth: '/auth', apiAuth: '/api/auth', 'paths.auth': '/auth' };
    const found = [...source.matchAll(/`\$\{(auth|apiAuth|paths\.auth)\}(\/[\w/]+)`/g)];
    assert.ok(found.length >= 5);
    const named = new Set(rows.map(({ address }) => address));
    for (const [, prefix = '', rest = ''] of found) assert.ok(named.has(`${prefixes[prefix]}${rest}`), rest);
  });

  test('the verify and admin listeners answer what is said of them', async () => {
    for (const path of ['/auth/verify', '/auth/forward', '/auth/validate', '/auth/verify/below']) {
      const { status, body } = await ask(server.ports.verify, path, 'GET');
      assert.deepEqual([status, codeOf(body)], [400, 'forwarded_headers_invalid'], path);
    }
    assert.equal((await ask(server.ports.verify, '/auth/login', 'GET')).status, 404);
    assert.equal((await ask(server.ports.public, '/auth/verify', 'GET')).status, 404);
    for (const path of ['/metrics', '/readyz'])
      assert.equal((await ask(server.ports.admin, path, 'GET')).status, 200, path);
  });

  for (const path of ['/auth/jwks.json']) {
    test(`${path} is missing without keys.signing`, async () => {
      for (const method of ['GET', 'POST']) assert.equal((await ask(server.ports.public, path, method)).status, 404);
    });
  }
});

function ask(port: number, path: string, method: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'app.example.test', connection: 'close' };
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (incoming) => {
      let body = '';
      incoming.setEncoding('utf8');
      incoming.on('data', (chunk: string) => {
        body += chunk;
      });
      incoming.on('error', reject);
      incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, body }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

function codeOf(body: string): string {
  return (JSON.parse(body) as { code: string }).code;
}
