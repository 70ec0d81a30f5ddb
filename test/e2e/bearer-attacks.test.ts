// The attack file of tokens against a running server: signed for real, with keys of a real JWKS endpoint.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { CaseResult } from '../../scripts/attacks/report.ts';

type Case = { readonly id: string; readonly tier: string; readonly input: { readonly context: string } };

const ROOT = join(import.meta.dirname, '../..');
const FIXTURES = join(ROOT, 'test/fixtures/attacks');
const DEADLINE_MS = 120_000;
const CASES = JSON.parse(readFileSync(join(FIXTURES, 'jwt.json'), 'utf8')) as readonly Case[];

const scratch = mkdtempSync(join(tmpdir(), 'sallyport-jwt-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** Run the runner on a folder; its exit code and results. */
function runAttacks(folder: string, json: string): Promise<{ exitCode: number; results: readonly CaseResult[] }> {
  const argv = [join(ROOT, 'scripts/attacks.ts'), folder, 'jwt', '--json', json];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, argv, { cwd: ROOT, timeout: DEADLINE_MS }, (error, stdout, stderr) => {
      try {
        const { results } = JSON.parse(readFileSync(json, 'utf8')) as { results: readonly CaseResult[] };
        resolve({ exitCode: error === null ? 0 : Number(error.code ?? -1), results });
      } catch {
        reject(new Error(`the runner wrote no results: ${stdout}${stderr}`));
      }
    });
  });
}

describe('the attack file of tokens', () => {
  let results: readonly CaseResult[];
  before(async () => {
    const run = await runAttacks(FIXTURES, join(scratch, 'all.json'));
    assert.equal(run.exitCode, 0);
    results = run.results;
  });

  test('every access token, ID token, logout token and proof is judged as the file says, must and policy alike', () => {
    assert.equal(results.length, CASES.length);
    assert.ok(CASES.length > 100);
    const open = results.filter(({ outcome }) => outcome !== 'passed');
    assert.deepEqual(
      open.map(({ id, outcome, reasons }) => ({ id, outcome, reasons })),
      [],
    );
  });

  test('a wrong expectation, a changed token and an unknown key are found out', async () => {
    const find = (id: string): Case => CASES.find((one) => one.id === id) ?? assert.fail(id);
    const folder = mkdtempSync(join(scratch, 'changed-'));
    const changed = [
      { ...find('JW-001'), expect: 'reject' },
      { ...find('JW-029'), expect: 'accept' },
      {
        ...find('JW-106'),
        id: 'JW-901',
        input: { context: 'access_token', payload: { aud: 'https://bff.example.test' } },
      },
      { ...find('JW-001'), id: 'JW-902', input: { context: 'access_token', moon: 'full' } },
      { ...find('JW-001'), id: 'JW-903', input: { context: 'access_token', payload: { sub: 'u2' } } },
    ];
    writeFileSync(join(folder, 'jwt.json'), JSON.stringify(changed));
    const run = await runAttacks(folder, join(scratch, 'changed.json'));
    assert.equal(run.exitCode, 1);
    assert.deepEqual(
      run.results.map(({ outcome }) => outcome),
      ['failed', 'failed', 'failed', 'unchecked', 'failed'],
    );
  });
});
