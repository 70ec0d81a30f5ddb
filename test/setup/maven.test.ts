import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Part } from '../../scripts/parts.js';
import { ensureMavenServer } from '../../scripts/setup/maven.js';

/** A Maven that "downloads" a zip which lies beside it, or fails when there is none. */
const MAVEN = `#!/bin/sh
here=$(dirname "$0")
echo "$@" >"$here/asked"
for arg in "$@"; do case "$arg" in -DoutputDirectory=*) target=\${arg#-DoutputDirectory=} ;; esac; done
[ -f "$here/server.zip" ] || { echo 'Could not resolve org.example:server:zip:1.2'; exit 1; }
cp "$here/server.zip" "$target/server-1.2.zip"
`;

describe('a server from Maven', () => {
  let folder = '';
  let programs = '';
  const { PATH } = process.env;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-maven-'));
    programs = join(folder, 'programs');
    mkdirSync(programs);
    process.env['PATH'] = `${programs}${delimiter}${PATH}`;
  });
  afterEach(() => {
    process.env['PATH'] = PATH;
    rmSync(folder, { recursive: true });
  });

  const addProgram = (name: string, text: string) => {
    writeFileSync(join(programs, name), text);
    chmodSync(join(programs, name), 0o755);
  };

  /** Makes Maven's zip with a program that notes its arguments and ends with `status`; returns the zip's digest. */
  function addZip(status = 0): string {
    addProgram('java', '');
    addProgram('mvn', MAVEN);
    const content = join(folder, 'server-1.2');
    mkdirSync(join(content, 'bin'), { recursive: true });
    writeFileSync(join(content, 'bin/server.sh'), `#!/bin/sh\necho "$@" >"$(dirname "$0")/prepared"\nexit ${status}\n`);
    const zip = join(programs, 'server.zip');
    const made = spawnSync('python3', ['-m', 'zipfile', '-c', zip, content], { encoding: 'utf8' });
    assert.equal(made.status, 0, made.stderr);
    return createHash('sha256').update(readFileSync(zip)).digest('hex');
  }

  const rowOf = (digest: string): Part => ({
    name: 'server',
    version: '1.2',
    kind: 'maven',
    package: 'org.example:server',
    for: 'this test',
    goals: ['test'],
    file: '.parts/server-1.2/bin/server.sh',
    member: 'server-1.2/bin/server.sh',
    prepare: ['build', '--fast'],
    sha256: { 'any machine': digest },
  });
  const left = () => (existsSync(join(folder, '.parts')) ? readdirSync(join(folder, '.parts')) : []);

  test('is asked for by its whole name, unpacked, made executable and prepared once', async () => {
    const row = rowOf(addZip());
    assert.equal(await ensureMavenServer(row, folder), undefined);
    assert.match(readFileSync(join(programs, 'asked'), 'utf8'), / -Dartifact=org\.example:server:1\.2:zip /);
    const program = join(folder, '.parts/server-1.2/bin/server.sh');
    accessSync(program, constants.X_OK);
    assert.equal(readFileSync(join(folder, '.parts/server-1.2/bin/prepared'), 'utf8'), 'build --fast\n');
    assert.deepEqual(left(), ['server-1.2']);
    rmSync(join(programs, 'asked'));
    assert.equal(await ensureMavenServer(row, folder), undefined);
    assert.equal(existsSync(join(programs, 'asked')), false, 'what is there is not downloaded again');
  });

  test('with another content than the table says is not used, and nothing of it is left', async () => {
    addZip();
    const problem = await ensureMavenServer(rowOf('0'.repeat(64)), folder);
    assert.match(problem ?? '', /server-1\.2\.zip has SHA-256 [0-9a-f]{64}, expected 0{64}: not used$/);
    assert.deepEqual(left(), []);
  });

  test('that cannot be prepared is not left half done', async () => {
    assert.equal(await ensureMavenServer(rowOf(addZip(3)), folder), 'preparing server: failed (exit 3)');
    assert.deepEqual(left(), []);
  });

  test('that Maven cannot find is explained', async () => {
    addProgram('java', '');
    addProgram('mvn', MAVEN);
    const problem = await ensureMavenServer(rowOf(''), folder);
    assert.equal(
      problem,
      "mvn dependency:copy org.example:server: failed (exit 1). Check the network and Maven's settings",
    );
    assert.deepEqual(left(), []);
  });

  test('is not attempted without Maven or Java, and that is said', async () => {
    process.env['PATH'] = programs;
    assert.equal(await ensureMavenServer(rowOf(''), folder), 'Maven is not installed');
    addProgram('mvn', MAVEN);
    assert.equal(await ensureMavenServer(rowOf(''), folder), 'Java is not installed');
  });
});
