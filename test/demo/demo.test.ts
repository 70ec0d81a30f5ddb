import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { runDemo } from '../../src/cli/demo/demo.ts';
import { DEMO_PORTS_COUNT } from '../../src/cli/demo/demo-options.ts';
import { assertPortsFree } from '../../src/cli/demo/demo-ports.ts';
import type { DemoInfo } from '../../src/cli/demo/demo-start.ts';
import { startHttpServer } from '../../src/cli/demo/http-server.ts';
import { findFreePorts } from '../support/ports.ts';

type Run = { readonly exit: Promise<number>; stop(): void; stdout: string; stderr: string; firstOutput: Promise<void> };

/** Runs the command in this process with captured output; `stop` takes the place of a signal. */
function run(...argv: string[]): Run {
  const stopped = Promise.withResolvers<void>();
  const output = Promise.withResolvers<void>();
  const captured = { stdout: '', stderr: '' };
  const write = (name: 'stdout' | 'stderr') => (text: string) => {
    captured[name] += text;
    if (name === 'stdout') {
      output.resolve();
    }
  };
  const exit = runDemo(argv, {
    stdout: { write: write('stdout') },
    stderr: { write: write('stderr') },
    environment: { PATH: '' },
    stopped: stopped.promise,
  });
  // Whoever waits for output must not wait for ever for a run that ended without any.
  void exit.finally(() => output.resolve());
  return Object.assign(captured, { exit, stop: () => stopped.resolve(), firstOutput: output.promise });
}

function countSignalListeners(): number[] {
  return (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((name) => process.listenerCount(name));
}

describe('sallyport demo', () => {
  const temporary = process.env['TMPDIR'];
  let folder: string;
  // A temporary folder of its own, so that whatever is left in it was left by the demo.
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sallyport-demo-test-'));
    process.env['TMPDIR'] = folder;
  });
  after(async () => {
    if (temporary === undefined) {
      delete process.env['TMPDIR'];
    } else {
      process.env['TMPDIR'] = temporary;
    }
    await rm(folder, { recursive: true });
  });

  test('--help explains every option and ends with 0', async () => {
    const help = run('--help');
    assert.equal(await help.exit, 0);
    for (const option of ['--port', '--redis', '--no-traefik', '--json', '--log-level']) {
      assert.ok(help.stdout.includes(option), option);
    }
  });

  test('an unknown option is named and ends with 2', async () => {
    const refused = run('--prot', '9100');
    assert.equal(await refused.exit, 2);
    assert.match(refused.stderr, /--prot/);
    assert.equal(refused.stdout, '');
  });

  test('a port in use is named together with the option to change it, and nothing stays behind', async () => {
    const base = await findFreePorts(DEMO_PORTS_COUNT);
    const holder = await startHttpServer({ port: base + 3, handler: (_, response) => void response.end() });
    const refused = run('--port', String(base), '--no-traefik');
    assert.equal(await refused.exit, 1);
    assert.match(refused.stderr, new RegExp(`port ${base + 3} .* in use.*--port N`));
    await holder.close();
    await assertPortsFree(base);
  });

  test('--json prints one line when users can sign in; stopping ends with 0 and frees ports and folders', async () => {
    const base = await findFreePorts(DEMO_PORTS_COUNT);
    const listenersBefore = countSignalListeners();
    const demo = run('--port', String(base), '--no-traefik', '--json');
    await demo.firstOutput;
    assert.equal(demo.stdout.split('\n').length, 2, demo.stderr);
    const info = JSON.parse(demo.stdout) as DemoInfo;
    assert.deepEqual(info, {
      url: `http://localhost:${base}`,
      traefik_url: null,
      issuer: `http://127.0.0.1:${base + 1}`,
      user: 'alice',
      password: 'alice',
      verify_url: `http://127.0.0.1:${base + 3}/auth/verify`,
      admin_url: `http://127.0.0.1:${base + 4}`,
      pid: process.pid,
    });
    assert.equal((await fetch(`${info.issuer}/.well-known/openid-configuration`)).status, 200);
    assert.equal((await fetch(info.url)).status, 200);
    demo.stop();
    assert.equal(await demo.exit, 0);
    await assertPortsFree(base);
    assert.deepEqual(await readdir(folder), []);
    assert.deepEqual(countSignalListeners(), listenersBefore);
  });
});
