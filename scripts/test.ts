/**
 * Runs the tests: `node scripts/test.ts [--quick] [FILE…]`.
 *
 * Every `*.test.ts` below test/ is a test; `--quick` leaves out the folders that start servers, put load on them or try many
 * random lives.
 * Names on the command line (whole paths or parts of them) choose files. Types and style are tests too
 * (test/structure/toolchain.test.ts). The output is that of node's spec reporter, with a table of the parts from outside
 * before its closing lines.
 */

import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec as SpecReporter, type TestEvent } from 'node:test/reporters';
import { PARTS_LOG_VARIABLE, type PartUse } from '../test/support/parts.ts';
import { describeRemedy, getRow, projectFolder } from './parts.js';

const SLOW_FOLDERS = [
  'bench',
  'contract',
  'demo',
  'docs',
  'e2e',
  'faults',
  'keycloak',
  'load',
  'property',
  'proxy',
  'setup',
].map((name) => `test/${name}/`);
const CONCURRENCY = 2;
/** Of each test and of each hook; a file as a whole may take longer. */
const TEST_TIMEOUT_MS = 180_000;
/** A test file that has finished its tests and does not end holds something open; nothing else ends it. */
const SILENCE_MAX_MS = 300_000;

function chooseFiles(args: readonly string[]): string[] {
  const wanted = args.filter((arg) => !arg.startsWith('-')).map((arg) => arg.replace(/^\.\//, ''));
  const isQuick = args.includes('--quick');
  return globSync('test/**/*.test.ts', { cwd: projectFolder })
    .sort()
    .filter((path) => !isQuick || !SLOW_FOLDERS.some((folder) => path.startsWith(folder)))
    .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)));
}

function readUses(log: string): PartUse[] {
  const lines = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as PartUse);
}

/** One line per part: used or skipped, in how many test files, and how to get it. */
function formatUses(uses: readonly PartUse[]): string[] {
  const keys = [...new Set(uses.map(({ part, outcome }) => `${part} ${outcome}`))].sort();
  return keys.map((key) => {
    const [part = '', outcome = ''] = key.split(' ');
    const files = new Set(uses.filter((use) => use.part === part && use.outcome === outcome).map(({ file }) => file));
    const remedy = outcome === 'skipped' ? `; get it with: ${describeRemedy(part)}` : '';
    const what = `part ${part.padEnd(14)} ${getRow(part).version.padEnd(14)} ${outcome.padEnd(7)}`;
    return `${what} in ${files.size} test file${files.size === 1 ? '' : 's'}${remedy}`;
  });
}

type Event = { readonly type: string; readonly data: unknown };

function isFirstClosingLine({ type, data }: Event): boolean {
  const { nesting, message } = data as { readonly nesting?: number; readonly message?: string };
  return type === 'test:diagnostic' && nesting === 0 && /^tests \d+$/.test(message ?? '');
}

async function main(args: readonly string[]): Promise<void> {
  const files = chooseFiles(args);
  if (files.length === 0) throw new Error('no test file has such a name');
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
  const log = join(folder, 'parts.jsonl');
  writeFileSync(log, '');
  process.env[PARTS_LOG_VARIABLE] = log;
  const silence = new AbortController();
  const watchdog = setTimeout(() => {
    silence.abort(new Error(`no test has ended for ${SILENCE_MAX_MS / 1000} s: a test file holds something open`));
  }, SILENCE_MAX_MS);

  async function* withParts(events: AsyncIterable<TestEvent>): AsyncGenerator<Event> {
    for await (const event of events) {
      watchdog.refresh();
      if (event.type === 'test:fail' && event.data.todo === undefined) process.exitCode = 1;
      if (isFirstClosingLine(event)) {
        for (const message of formatUses(readUses(log))) yield { type: event.type, data: { ...event.data, message } };
      }
      yield event;
    }
    clearTimeout(watchdog);
    rmSync(folder, { recursive: true, force: true });
  }

  const paths = files.map((file) => join(projectFolder, file));
  const options = { cwd: projectFolder, concurrency: CONCURRENCY, timeout: TEST_TIMEOUT_MS, signal: silence.signal };
  await pipeline(run({ ...options, files: paths }), withParts, new SpecReporter(), process.stdout, { end: false });
}

await main(process.argv.slice(2));
