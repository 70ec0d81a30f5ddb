import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { RunningServer } from '../../src/cli/demo/http-server.ts';
import { startStaticServer } from '../../src/cli/demo/static-server.ts';

/** Sends a request whose target goes out exactly as written, which fetch would tidy up. */
function send(
  port: number,
  target: string,
  method = 'GET',
): Promise<{ status: number; headers: object; body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, path: target, method, agent: false }, (response) => {
      response.setEncoding('utf8');
      response
        .toArray()
        .then((chunks) =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: chunks.join('') }),
        )
        .catch(reject);
    });
    request.on('error', reject);
    request.end();
  });
}

describe('static server', () => {
  let root: string;
  let server: RunningServer;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'sallyport-static-'));
    await mkdir(join(root, 'site', 'deep'), { recursive: true });
    await writeFile(join(root, 'secret.js'), 'outside');
    await writeFile(join(root, 'site', 'index.html'), '<p>index</p>');
    await writeFile(join(root, 'site', 'deep', 'a.js'), 'inside');
    await writeFile(join(root, 'site', 'notes.txt'), 'a type it does not serve');
    await symlink(join(root, 'secret.js'), join(root, 'site', 'link.js'));
    server = await startStaticServer({ directory: join(root, 'site') });
  });
  after(async () => {
    await server.close();
    await rm(root, { recursive: true });
  });

  test('serves the index at / and files below it with their types', async () => {
    const index = await send(server.port, '/?q=1');
    assert.deepEqual([index.status, index.body], [200, '<p>index</p>']);
    const script = await send(server.port, '/deep/a.js');
    assert.deepEqual([script.status, script.body], [200, 'inside']);
    assert.equal((script.headers as Record<string, string>)['content-type'], 'text/javascript; charset=utf-8');
  });

  test('every answer carries the policy of the demo pages', async () => {
    for (const target of ['/', '/nowhere']) {
      const headers = (await send(server.port, target)).headers as Record<string, string>;
      assert.equal(
        headers['content-security-policy'],
        "default-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
      );
      assert.equal(headers['x-content-type-options'], 'nosniff');
    }
  });

  const outside = [
    '/../secret.js',
    '/deep/../../secret.js',
    '/%2e%2e/secret.js',
    '/..%2fsecret.js',
    '/..\\secret.js',
    '//secret.js',
    '/./deep/a.js',
    '/deep//a.js',
    '/deep',
    '/deep/',
    '/link.js',
    '/notes.txt',
    '/index.html/',
    '/__proto__',
    '/%00',
  ];
  for (const target of outside) {
    test(`answers 404 to ${target}`, async () => {
      assert.equal((await send(server.port, target)).status, 404);
    });
  }

  test('answers HEAD without a body and refuses other methods', async () => {
    const head = await send(server.port, '/', 'HEAD');
    assert.deepEqual([head.status, head.body], [200, '']);
    assert.equal((await send(server.port, '/', 'POST')).status, 405);
  });
});
