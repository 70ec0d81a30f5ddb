import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFolder } from './source.ts';

const OUTPUT_MAX_CHARS = 8_000;

function runTool(name: string, args: readonly string[]): void {
  const program = join(projectFolder, 'node_modules/.bin', name);
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: projectFolder, encoding: 'utf8' });
  if (error !== undefined) throw error;
  assert.equal(status, 0, `${stdout}${stderr}`.slice(0, OUTPUT_MAX_CHARS));
}

test('types check', () => runTool('tsc', ['-p', '.', '--pretty', 'false']));
test('style and lint find nothing', () =>
  runTool('biome', ['check', '--colors=off', '--reporter=summary', '--error-on-warnings', '.']));
