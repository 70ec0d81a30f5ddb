import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { FIRST_LITERAL, substituteHandles } from '../../scripts/attacks/handles.ts';
import { createPeerTable, playedTrust, WORLD_TRUSTED } from '../../scripts/attacks/peers.ts';
import type { CaseResult } from '../../scripts/attacks/report.ts';

const ROOT = join(import.meta.dirname, '../..');
const FIXTURES = join(ROOT, 'test/fixtures/attacks');
const FAMILIES = [
  'open_redirect',
  'cookies',
  'forwarded_headers',
  'path_confusion',
  'callback',
  'csrf_cors',
  'http_framing',
];
const RUN_DEADLINE_MS = 180_000;

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-attacks-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

type Run = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

function runAttacks(...words: string[]): Promise<Run> {
  return new Promise((resolve) => {
    const argv = [join(ROOT, 'scripts/attacks.ts'), ...words];
    execFile(
      process.execPath,
      argv,
      { cwd: ROOT, timeout: RUN_DEADLINE_MS, maxBuffer: 16_777_216 },
      (error, stdout, stderr) => {
        resolve({ exitCode: error === null ? 0 : Number(error.code ?? -1), stdout, stderr });
      },
    );
  });
}

function folderWith(name: string, files: Readonly<Record<string, unknown>>): string {
  const folder = mkdtempSync(join(scratch, `${name}-`));
  for (const [file, content] of Object.entries(files)) {
    writeFileSync(join(folder, file), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return folder;
}

function readFixture(family: string): { id: string; [member: string]: unknown }[] {
  return JSON.parse(readFileSync(join(FIXTURES, `${family}.json`), 'utf8')) as { id: string }[];
}

function fixtureCase(family: string, id: string): { id: string; [member: string]: unknown } {
  const found = readFixture(family).find((attack) => attack.id === id);
  assert.ok(found, `${id} is in ${family}.json`);
  return found;
}

describe('the attack files against a running server', () => {
  test('every must case of the seven families passes over a socket', async () => {
    const json = join(scratch, 'all.json');
    const run = await runAttacks(FIXTURES, ...FAMILIES, '--json', json);
    const { results } = JSON.parse(readFileSync(json, 'utf8')) as { results: CaseResult[] };
    const open = results.filter(({ tier, outcome }) => tier === 'must' && outcome !== 'passed');
    assert.deepEqual(
      open.map(({ id, outcome, reasons }) => ({ id, outcome, reasons })),
      [],
      run.stdout,
    );
    assert.equal(run.exitCode, 0, run.stdout);
    for (const family of FAMILIES) {
      const ran = results.filter((result) => result.family === family).map(({ id }) => id);
      assert.deepEqual(
        ran,
        readFixture(family).map(({ id }) => id),
        `${family}: every case is accounted for`,
      );
    }
  });

  test('a case with the wrong expectation fails in each family, and the exit code says so', async () => {
    const folder = folderWith('mutated', {
      'open_redirect.json': [{ ...fixtureCase('open_redirect', 'OR-002'), expect: 'reject' }],
      'cookies.json': [{ ...fixtureCase('cookies', 'CK-004'), expect: null }],
      'forwarded_headers.json': [
        { ...fixtureCase('forwarded_headers', 'FH-001'), expect: { decision: 'reject', status: 400 } },
      ],
      'callback.json': [{ ...fixtureCase('callback', 'CB-001'), expect: 'reject', assert: ['no token request sent'] }],
      'http_framing.json': [{ ...fixtureCase('http_framing', 'HF-015'), expect: 'accept' }],
      'path_confusion.json': [
        { ...fixtureCase('path_confusion', 'PC-001'), forward_as: '/api/users/2' },
        { ...fixtureCase('path_confusion', 'PC-003'), acceptable: ['route:users'] },
        { ...fixtureCase('path_confusion', 'PC-018'), acceptable: ['route:admin'] },
      ],
      'csrf_cors.json': [
        { ...fixtureCase('csrf_cors', 'CC-001'), expect: 'reject' },
        { ...fixtureCase('csrf_cors', 'CC-012'), expect: 'accept' },
        { ...fixtureCase('csrf_cors', 'CC-080'), assert: ['session still valid afterwards'] },
        { ...fixtureCase('csrf_cors', 'CC-105'), expect_headers: { 'access-control-allow-origin': null } },
      ],
    });
    const run = await runAttacks(folder);
    assert.equal(run.exitCode, 1, run.stdout);
    const ids = 'OR-002 CK-004 FH-001 CB-001 HF-015 PC-001 PC-003 PC-018 CC-001 CC-012 CC-080 CC-105';
    for (const id of ids.split(' ')) assert.match(run.stdout, new RegExp(`^FAILED ${id} `, 'm'));
    assert.match(run.stdout, /sent: GET \/auth\/verify/);
    assert.match(run.stdout, /came back: HTTP\/1\.1 200/);
  });

  test('files of other names are known by their case ids, and a new case runs like any other', async () => {
    const fresh = { ...fixtureCase('open_redirect', 'OR-002'), id: 'OR-900', input: '/never/seen?before=1' };
    const run = await runAttacks(folderWith('fresh', { 'more.json': [fresh] }));
    assert.equal(run.exitCode, 0, run.stdout);
    assert.match(run.stdout, /^open_redirect +must +1 +0 /m);
  });

  test('single-valued headers that come twice speak for nobody, whichever line comes last', async () => {
    const own = 'https://app.example.test';
    const evil = 'https://evil.test';
    const proof = { 'x-bff-csrf': '1', 'content-type': 'application/json' };
    const repeated: readonly Record<string, string | string[]>[] = [
      { ...proof, origin: [own, evil] },
      { ...proof, origin: [evil, own] },
      { ...proof, origin: own, 'sec-fetch-site': ['cross-site', 'same-origin'] },
      { ...proof, origin: own, 'sec-fetch-site': ['same-origin', 'same-origin'] },
      { ...proof, referer: [`${evil}/`, `${own}/page`] },
      { ...proof, origin: own, 'x-bff-csrf': ['0', '1'] },
      { ...proof, origin: own, 'sec-fetch-site': 'SAME-ORIGIN' },
    ];
    const base = fixtureCase('csrf_cors', 'CC-017');
    const cases = repeated.map((headers, index) => {
      return { ...base, id: `CC-90${index}`, input: { ...(base['input'] as object), headers } };
    });
    const run = await runAttacks(folderWith('repeated', { 'csrf_cors.json': cases }));
    assert.equal(run.exitCode, 0, run.stdout);
    assert.match(run.stdout, /^csrf_cors +must +7 +0 /m);
  });

  test('an expectation that the runner does not know is reported and is no pass', async () => {
    const strange = { ...fixtureCase('callback', 'CB-005'), assert: ['the moon is full'] };
    const run = await runAttacks(folderWith('unknown', { 'callback.json': [strange] }));
    assert.equal(run.exitCode, 1, run.stdout);
    assert.match(run.stdout, /^UNCHECKED CB-005 /m);
    assert.match(run.stdout, /unchecked: assert "the moon is full"/);
  });
});

describe('reading attack files', () => {
  const malformed: Readonly<Record<string, readonly [Readonly<Record<string, unknown>>, RegExp]>> = {
    'bad JSON': [{ 'cookies.json': '[{' }, /cookies\.json: not JSON/],
    'no array': [{ 'cookies.json': {} }, /cookies\.json: expected an array of cases/],
    'a case without a tier': [
      { 'cookies.json': [{ id: 'CK-1', input: '', expect: null }] },
      /CK-1\)\.tier: expected must or policy/,
    ],
    'an unknown family': [
      { 'x.json': [{ id: 'ZZ-1', tier: 'must', input: '', expect: null }] },
      /neither the file name nor the case ids/,
    ],
    'an empty folder': [{}, /no \*\.json file here/],
  };
  for (const [what, [files, message]] of Object.entries(malformed)) {
    test(`${what} ends with exit code 2 and says where`, async () => {
      const run = await runAttacks(folderWith('malformed', files));
      assert.equal(run.exitCode, 2, run.stderr);
      assert.match(run.stderr, message);
    });
  }
});

describe('playing a case', () => {
  const handle = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq';
  const substitute = (text: string): string => substituteHandles(text, [{ literal: FIRST_LITERAL, handle }]);

  test('the literal handle becomes the live one, and damaged the same way where the case damages it', () => {
    assert.equal(substitute(`a=1; s=${FIRST_LITERAL}; b`), `a=1; s=${handle}; b`);
    assert.equal(substitute(FIRST_LITERAL.slice(0, 22)), handle.slice(0, 22));
    assert.equal(
      substitute(`${FIRST_LITERAL.slice(0, 20)}+${FIRST_LITERAL.slice(21)}`),
      `${handle.slice(0, 20)}+${handle.slice(21)}`,
    );
    assert.equal(substitute('s=AAAAAAAAAAAAAAAAAAAAAAAA'), 's=AAAAAAAAAAAAAAAAAAAAAAAA');
  });

  test('peers keep their trust: addresses of the trusted blocks are played inside the trusted loopback blocks', () => {
    const { play } = createPeerTable();
    const trusted = (peer: string): boolean => play(peer, WORLD_TRUSTED).trusted;
    assert.deepEqual(['10.0.0.5', '10.0.0.255', 'fd00::1', '::ffff:10.0.0.5'].map(trusted), [true, true, true, true]);
    assert.deepEqual(['10.0.1.5', '203.0.113.9', 'fd01::1', '10.0.0.50.evil'].map(trusted), [
      false,
      false,
      false,
      false,
    ]);
    assert.equal(play('10.0.0.5', WORLD_TRUSTED).localAddress, '127.0.0.5');
    assert.equal(play('203.0.113.9', WORLD_TRUSTED).localAddress, '127.0.0.9');
    assert.equal(play('::ffff:10.0.0.5', WORLD_TRUSTED).listener, 'mapped');
    assert.equal(play('10.0.0.5', []).trusted, false);
    assert.deepEqual(playedTrust([], 'v4', false), []);
  });
});
