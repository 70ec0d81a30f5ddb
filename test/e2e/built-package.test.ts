import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Lab, openLab } from '../../bench/lib/lab.ts';
import { askOnce } from '../../bench/lib/once.ts';
import { pickPorts } from '../../bench/lib/process.ts';
import { requestText, smallestHeaders } from '../../bench/lib/requests.ts';
import { type SallyportOptions, startSallyport } from '../../bench/lib/sallyport.ts';
import { signIn } from '../../bench/lib/sign-in.ts';
import { installPackage, runInstallation } from '../support/built-package.ts';
import { connectH2, LISTEN_H2 } from '../support/h2.ts';
import { skipWithout } from '../support/parts.ts';
import { until } from '../support/until.ts';

describe('the built package', { skip: skipWithout('redis-server', 'esbuild'), timeout: 300_000 }, () => {
  let lab: Lab;
  let program = '';
  let printed = '';
  before(async () => {
    lab = await openLab({ sessionsMax: 5 });
    program = lab.subfolder('package');
    printed = installPackage(program);
  });
  after(() => lab.close());

  const launch = (...args: readonly string[]) => {
    const all = [join(program, 'bin/sallyport.js'), ...args];
    const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8', timeout: 60_000 });
    return { status, stdout, stderr };
  };
  /** Whether V8 took what was compiled, asked in a process of its own. */
  const isCompiled = (...flags: readonly string[]) => {
    const script = `process.stdout.write(String(require(${JSON.stringify(`${program}/bin/program.js`)}).loadProgram().isCompiled))`;
    return spawnSync(process.execPath, [...flags, '-e', script], { encoding: 'utf8', timeout: 60_000 }).stdout;
  };
  const verify = (port: number, handle?: string) =>
    askOnce(
      port,
      requestText('/auth/verify', smallestHeaders(handle === undefined ? {} : { cookie: `bff_session=${handle}` })),
    );

  async function signsInAndOut(options: SallyportOptions): Promise<void> {
    const server = await startSallyport(lab, { ...options, program });
    try {
      assert.equal((await verify(server.verifyPort)).status, 401);
      const handle = await signIn(lab.provider, server.publicPort, 'ada');
      const allowed = await verify(server.verifyPort, handle);
      assert.equal(allowed.status, 200);
      assert.equal(allowed.headers.get('x-user-id'), 'ada');
    } finally {
      await server.stop();
    }
  }

  test('is one program with the licences of what is in it', () => {
    assert.deepEqual(readdirSync(join(program, 'dist')).sort(), ['LICENSES.txt', 'main.js', 'main.js.compiled']);
    const licences = readFileSync(join(program, 'dist/LICENSES.txt'), 'utf8');
    for (const name of ['iovalkey', 'jose', 'oauth4webapi', 'pino', 'prom-client', 'undici', 'ws', 'yaml', 'zod']) {
      assert.match(licences, new RegExp(`^={80}\\n${name} [0-9.]+ \\(`, 'm'), name);
    }
    assert.match(licences, /Permission is hereby granted/);
  });

  test('is strict code, each character one byte', () => {
    const text = readFileSync(join(program, 'dist/main.js'));
    assert.match(text.subarray(0, 200).toString(), /^\(function \(require, module, importMetaUrl\) \{ 'use strict';\n/);
    assert.ok(text.every((byte) => byte < 0x80));
  });

  test('signs users in with no package but the native core beside it', () => signsInAndOut({}));

  test('has workers, and a store in memory', async () => {
    await signsInAndOut({ settings: { store: { kind: 'memory' } } });
    const server = await startSallyport(lab, { settings: { workers: 2 }, program });
    try {
      await until(async () => (await verify(server.verifyPort)).status === 401, 'workers that answer');
    } finally {
      await server.stop();
    }
  });

  test('answers over HTTP/2', async () => {
    const port = pickPorts(1);
    const server = await startSallyport(lab, { listen: { verify_h2: { ...LISTEN_H2, port } }, program });
    const session = connectH2(port);
    try {
      const stream = session.request({ ':path': '/auth/verify', ...Object.fromEntries(smallestHeaders({})) });
      const [headers] = (await once(stream, 'response')) as [{ ':status'?: number }];
      assert.equal(headers[':status'], 401);
      stream.close();
    } finally {
      session.destroy();
      await server.stop();
    }
  });

  test('is compiled by its installation, and starts with that under usual options of Node', () => {
    assert.match(printed, /^sallyport: compiled for Node v\d/m);
    assert.equal(isCompiled(), 'true');
    assert.equal(isCompiled('--max-old-space-size=300', '--max-semi-space-size=4'), 'true');
  });

  test('compiles anew where what was compiled is not of this program, damaged or gone', () => {
    const file = join(program, 'dist/main.js.compiled');
    const kept = readFileSync(file);
    const usage = launch('help').stdout;
    assert.match(usage, /^Usage: sallyport/);
    const other = Buffer.from(kept);
    other.writeUInt32LE((kept.readUInt32LE(0) + 1) % 2 ** 32);
    for (const bytes of [other, kept.subarray(0, kept.length / 2), kept.subarray(0, 3), Buffer.alloc(0), undefined]) {
      if (bytes === undefined) rmSync(file);
      else writeFileSync(file, bytes);
      assert.equal(isCompiled(), 'false');
      assert.deepEqual(launch('help'), { status: 0, stdout: usage, stderr: '' });
    }
    writeFileSync(file, kept);
    assert.equal(isCompiled('--stack-size=900'), 'false');
  });

  test('is installed, and says why, where it cannot be compiled', () => {
    const copy = lab.subfolder('broken');
    cpSync(program, copy, { recursive: true, verbatimSymlinks: true });
    rmSync(join(copy, 'dist/main.js.compiled'));
    writeFileSync(join(copy, 'dist/main.js'), '(function () {');
    assert.match(runInstallation(copy), /^sallyport: not compiled, starts take longer: SyntaxError: .*$/m);
    assert.deepEqual(readdirSync(join(copy, 'dist')).sort(), ['LICENSES.txt', 'main.js']);
  });

  test('names functions and lines of its file in a stack trace', () => {
    const { stdout } = launch('keygen');
    assert.match(stdout, /^SALLYPORT_SEAL_KEY=[A-Za-z0-9_-]{43}$/m);
    const script = `const { loadProgram } = require(${JSON.stringify(`${program}/bin/program.js`)});
      process.stdout.write = () => { throw new Error('seen'); };
      loadProgram().main(['help']).catch((error) => process.stderr.write(error.stack));`;
    const { stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 60_000 });
    assert.match(stderr, /at run \(.*dist\/main\.js:\d+:\d+\)/);
  });

  test('says that it has no demo', () => {
    const { status, stderr } = launch('demo');
    assert.equal(status, 2);
    assert.equal(stderr, 'sallyport: the demo runs in a checkout with its packages for development: npm run demo\n');
  });
});
