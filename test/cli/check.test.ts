import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { runCheck } from '../../src/cli/check.ts';
import { runKeygen } from '../../src/cli/keygen.ts';
import { ENVIRONMENT, IDPS, load, ROUTES, SETTINGS } from '../core/config/support.ts';

function recordIo(environment: Record<string, string> = ENVIRONMENT) {
  const written = { out: '', err: '' };
  const io = {
    stdout(text: string): void {
      written.out += text;
    },
    stderr(text: string): void {
      written.err += text;
    },
    environment,
  };
  return { io, written };
}

describe('sallyport check', () => {
  let directory: string;
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-check-'));
    write('settings.yaml', SETTINGS);
    write('idps.yaml', IDPS);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  test('a usable configuration: warnings, file hashes, ok, exit code 0', async () => {
    write('routes.yaml', `${ROUTES}  - {id: a, paths: [/a]}\n`);
    const { io, written } = recordIo();
    assert.equal(await runCheck(['--config', directory], io), 0);
    assert.equal(written.err, '');
    const lines = written.out.trimEnd().split('\n');
    assert.equal(lines[0], 'warning: routes.yaml:4:1 routes: open to every signed-in user: a');
    assert.match(lines[1] ?? '', /^settings\.yaml sha256:[0-9a-f]{64}$/);
    assert.match(lines[2] ?? '', /^idps\.yaml sha256:[0-9a-f]{64}$/);
    assert.match(lines[3] ?? '', /^routes\.yaml sha256:[0-9a-f]{64}$/);
    assert.deepEqual(lines.slice(4), ['ok']);
  });

  test('problems: all of them on standard error, exit code 78', async () => {
    write('idps.yaml', `${IDPS}    par: sometimes\n    userinfo: maybe\n`);
    const { io, written } = recordIo();
    assert.equal(await runCheck([`--config=${directory}`], io), 78);
    assert.equal(written.out, '');
    assert.equal(
      written.err,
      'idps.yaml:7:10 providers.main.par: "sometimes" is not a choice, expected auto, require or never, choose one\n' +
        'idps.yaml:8:15 providers.main.userinfo: "maybe" is text, expected true or false, write true or false without quotes\n' +
        'the configuration has 2 problems\n',
    );
  });

  test('a directory that is not there is a problem like any other', async () => {
    const { io, written } = recordIo();
    assert.equal(await runCheck(['--config', join(directory, 'none')], io), 78);
    assert.match(written.err, /^settings\.yaml:1:1: the file does not exist, .*\nidps\.yaml:1:1: /);
  });

  for (const argv of [['--nonsense'], ['extra'], ['--config']]) {
    test(`wrong usage (${argv.join(' ')}): usage, exit code 2`, async () => {
      const { io, written } = recordIo();
      assert.equal(await runCheck(argv, io), 2);
      assert.match(written.err, /^usage: sallyport check/);
    });
  }

  test('--help prints the usage', async () => {
    const { io, written } = recordIo();
    assert.equal(await runCheck(['--help'], io), 0);
    assert.match(written.out, /^usage: sallyport check/);
  });
});

describe('sallyport keygen', () => {
  test('prints a line with a new key that the configuration accepts', async () => {
    const first = recordIo();
    const second = recordIo();
    assert.equal(await runKeygen([], first.io), 0);
    assert.equal(await runKeygen([], second.io), 0);
    assert.notEqual(first.written.out, second.written.out);
    const key = /^SALLYPORT_SEAL_KEY=([\w-]{43})\n$/.exec(first.written.out)?.[1] ?? '';
    assert.equal(load({ environment: { SEAL: key } }).sealKeys[0]?.secret.toString('base64url'), key);
    assert.doesNotMatch(first.written.err, new RegExp(key));
  });

  test('wrong usage: exit code 2', async () => {
    const { io, written } = recordIo();
    assert.equal(await runKeygen(['--bits', '128'], io), 2);
    assert.match(written.err, /^usage: sallyport keygen/);
    assert.equal(written.out, '');
  });
});
