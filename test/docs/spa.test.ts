// docs/spa.md: its configuration loads, and its script runs against a server.
import assert from 'node:assert/strict';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { load, SETTINGS } from '../core/config/support.ts';

const ROOT = join(import.meta.dirname, '../..');
const page = await readFile(join(ROOT, 'docs/spa.md'), 'utf8');

/** The blocks of a language, those of YAML by the file that their first line names. */
function blocks(language: string, file = ''): string[] {
  const found = [...page.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map(([, text = '']) => text);
  return file === '' ? found : found.filter((text) => text.startsWith(`# ${file}\n`));
}

describe('docs/spa.md', () => {
  test('shows routes that load', () => {
    const [routes = ''] = blocks('yaml', 'routes.yaml');
    const { routes: loaded } = load({ routes });
    assert.deepEqual(
      loaded.map(({ id }) => id),
      ['uploads', 'live', 'api', 'files'],
    );
    assert.deepEqual(loaded[0]?.rateLimit, { average: 10, periodMs: 60_000, burst: 5, key: 'session' });
  });

  test('shows settings that load', () => {
    const [csrf = '', cors = ''] = blocks('yaml', 'settings.yaml');
    const first = load({ settings: `${SETTINGS}${csrf}` });
    assert.deepEqual([first.csrf.mode, first.csrf.cookie, first.verify.csrf], ['token', 'bff_csrf', 'proof']);
    const keys = SETTINGS.slice(SETTINGS.indexOf('keys:'));
    const second = load({ settings: `version: 1\n${cors}${keys}` });
    assert.equal(second.sites[0]?.origins.length, 3);
    assert.equal(second.cors.maxAgeMs, 600_000);
  });

  test('shows a script that runs', async () => {
    const [script = ''] = blocks('js');
    const folder = await mkdtemp(join(tmpdir(), 'sallyport-docs-'));
    const server = createServer((request, response) => {
      const isSession = request.url?.startsWith('/api/auth/session') === true;
      response.writeHead(isSession ? 200 : 429, { 'content-type': 'application/json', 'retry-after': '1' });
      response.end(isSession ? '{"authenticated":true,"user":{"name":"Alice"}}' : '{"code":"rate_limited"}');
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    try {
      await copyFile(join(ROOT, 'client/sallyport-client.js'), join(folder, 'sallyport-client.js'));
      await writeFile(join(folder, 'package.json'), '{"type":"module"}');
      await writeFile(join(folder, 'app.js'), script);
      Object.assign(globalThis, { location: { href: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` } });
      const app = (await import(pathToFileURL(join(folder, 'app.js')).href)) as {
        start(): Promise<string>;
        save(item: object): Promise<string>;
      };
      assert.equal(await app.start(), 'hello Alice');
      assert.equal(await app.save({ name: 'x' }), '429 rate_limited');
    } finally {
      Reflect.deleteProperty(globalThis, 'location');
      server.closeAllConnections();
      server.close();
      await rm(folder, { recursive: true });
    }
  });
});
