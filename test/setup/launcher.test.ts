import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { projectFolder } from '../../scripts/parts.js';

const PRINT = 'export const main = async (args: string[]) => console.log("src", ...args);\n';
/** As scripts/build.ts writes a program. */
const wrap = (main: string) => `(function (require, module, importMetaUrl) { module.exports.main = ${main}; })`;
const PRINT_BUILT = wrap('async (args) => console.log("dist", ...args)');
/** Makes the launcher believe in an older Node, and nothing else. */
const OLDER_NODE = `data:text/javascript,${encodeURIComponent(
  "Object.defineProperty(process, 'version', { value: 'v20.1.0' });" +
    "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.1.0' } });",
)}`;

describe('the launcher', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-launcher-'));
    for (const name of ['bin', 'src', 'dist', 'node_modules/node/bin'])
      mkdirSync(join(folder, name), { recursive: true });
    cpSync(join(projectFolder, 'bin'), join(folder, 'bin'), { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(folder, 'dist/main.js'), PRINT_BUILT);
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const launch = (...args: string[]) => {
    const all = [...args.splice(0, args.indexOf('--') + 1).slice(0, -1), join(folder, 'bin/sallyport.js'), ...args];
    const { status, stdout, stderr } = spawnSync(process.execPath, all, { encoding: 'utf8', timeout: 30_000 });
    return { status, stdout, stderr };
  };
  const pinned = () => join(folder, 'node_modules/node/bin/node');

  test('runs src in a checkout and hands the arguments on', () => {
    writeFileSync(join(folder, 'src/main.ts'), PRINT);
    assert.deepEqual(launch('--', 'check', '--x'), { status: 0, stdout: 'src check --x\n', stderr: '' });
  });

  test('runs dist where there is no src', () => {
    assert.deepEqual(launch('--', 'serve'), { status: 0, stdout: 'dist serve\n', stderr: '' });
  });

  test('on an older Node hands over to the pinned one and ends with its status', () => {
    writeFileSync(pinned(), `#!/bin/sh\nshift\necho "pinned $*"\nexit 3\n`);
    chmodSync(pinned(), 0o755);
    assert.deepEqual(launch('--import', OLDER_NODE, '--', 'demo', '--json'), {
      status: 3,
      stdout: 'pinned demo --json\n',
      stderr: '',
    });
  });

  test('on an older Node without the pinned one says what is needed', () => {
    const { status, stdout, stderr } = launch('--import', OLDER_NODE, '--', 'demo');
    assert.deepEqual({ status, stdout }, { status: 78, stdout: '' });
    assert.equal(
      stderr,
      'sallyport: Node 24 or newer is needed, this is v20.1.0. ' +
        'Install it, or run "npm ci" in the project folder, which brings it.\n',
    );
  });

  test('passes SIGTERM to the pinned Node and waits for its end', async () => {
    symlinkSync(process.execPath, pinned());
    writeFileSync(
      join(folder, 'dist/main.js'),
      wrap(
        'async () => { const hold = setInterval(() => {}, 1000);' +
          "process.once('SIGTERM', () => { console.log('drained'); clearInterval(hold); process.exitCode = 7; });" +
          "console.log('ready'); }",
      ),
    );
    const child = spawn(process.execPath, ['--import', OLDER_NODE, join(folder, 'bin/sallyport.js')]);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output === 'ready\n') child.kill('SIGTERM');
    });
    assert.deepEqual(await once(child, 'close'), [7, null]);
    assert.equal(output, 'ready\ndrained\n');
  });
});
