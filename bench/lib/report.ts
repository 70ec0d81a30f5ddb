import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { projectFolder } from '../../scripts/parts.js';
import { bandOf } from './stats.ts';
import { TARGETS } from './targets.ts';
import type { BenchOptions, Measure, Outcome, Sample } from './types.ts';

/** Where results go; not under version control. */
const RESULTS_FOLDER = join(projectFolder, 'bench/results');

/** What a measure says about its target. `near`: beyond it, but by less than the noise band. */
export type Verdict = 'ok' | 'near' | 'miss' | 'shown';

/** Judge a measure (PERFORMANCE: a target is missed if it is missed by more than the noise band). */
export function judge({ limit, spread }: Measure): Verdict {
  if (limit === undefined) return 'shown';
  const excess = limit.kind === 'at most' ? spread.value - limit.value : limit.value - spread.value;
  if (Number.isNaN(excess)) return 'miss';
  if (excess <= 0) return 'ok';
  return excess <= bandOf(spread) ? 'near' : 'miss';
}

/** The table of all targets: what this run measured of each, and why not where it did not. */
export function formatTable(outcomes: readonly Outcome[]): string {
  const measures = outcomes.flatMap((outcome) => outcome.measures);
  const gaps = outcomes.flatMap((outcome) => outcome.gaps);
  const rows: string[] = [];
  for (const { id, text } of TARGETS) {
    const found = measures.filter((measure) => measure.target === id);
    rows.push(...found.map((measure) => formatRow(id, measure)));
    const reasons = gaps.filter((gap) => gap.target === id).map(({ reason }) => reason);
    if (found.length === 0 && reasons.length === 0) reasons.push('its scenario was not run');
    for (const reason of reasons) rows.push(`| ${id} | ${text} | | | | not measured: ${reason} |`);
  }
  const others = measures.filter(({ target }) => !TARGETS.some(({ id }) => id === target));
  rows.push(...others.map((measure) => formatRow('', measure)));
  return ['| # | what | target | measured | band | |', '|---|---|---|---|---|---|', ...rows].join('\n');
}

function formatRow(id: string, measure: Measure): string {
  const { what, limit, spread, unit, note } = measure;
  const target = limit === undefined ? '' : `${limit.kind === 'at most' ? '≤' : '≥'} ${number(limit.value)} ${unit}`;
  const verdict = judge(measure) === 'near' ? 'miss within the band' : judge(measure);
  const cells = [id, what, target, `${number(spread.value)} ${unit}`, `± ${number(bandOf(spread))}`];
  return `| ${cells.join(' | ')} | ${verdict}${note === undefined ? '' : `; ${note}`} |`;
}

/** Three digits that matter, no more. */
function number(value: number): string {
  if (Number.isInteger(value) || Math.abs(value) >= 100) return String(Math.round(value));
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}

/** Medians of every subject, for the page and the picture. */
export function formatSubjects(samples: readonly Sample[], medianOf: (values: readonly number[]) => number): string {
  const names = [...new Set(samples.map(({ subject }) => subject))];
  const rows = names.map((name) => {
    const own = samples.filter(({ subject }) => subject === name);
    const of = (read: (sample: Sample) => number): number => medianOf(own.map(read));
    const core = `${Math.round(of(({ serverShare }) => serverShare) * 100)} %`;
    const noise = `${Math.round(of(({ foreignShare, stealShare }) => foreignShare + stealShare) * 100)} %`;
    return `| ${name} | ${of(({ cpuUs }) => cpuUs).toFixed(1)} | ${Math.round(of(({ perSecond }) => perSecond))} | ${core} | ${of(({ p50Us }) => p50Us)} | ${of(({ p99Us }) => p99Us)} | ${noise} |`;
  });
  const head = [
    '| subject | CPU µs/request | requests/s | of its core | p50 µs | p99 µs |',
    '|---|---|---|---|---|---|',
  ];
  return [...head, ...rows].join('\n');
}

/** Write one scenario's results as JSON and as a picture; returns the path of the JSON. */
export function writeResults(name: string, outcome: Outcome, options: BenchOptions, svg: string): string {
  mkdirSync(RESULTS_FOLDER, { recursive: true });
  const { rounds, seconds, warmUpSeconds, quick, connections, patienceSeconds } = options;
  const document = {
    scenario: name,
    at: new Date().toISOString(),
    machine: describeMachine(),
    options: { rounds, seconds, warmUpSeconds, quick, connections, patienceSeconds },
    ...outcome,
  };
  const path = join(RESULTS_FOLDER, `${name}.json`);
  writeFileSync(path, `${JSON.stringify(document, undefined, 2)}\n`);
  if (svg !== '') writeFileSync(join(RESULTS_FOLDER, `${name}.svg`), svg);
  return path;
}

/** What the numbers depend on. */
export function describeMachine() {
  const [first] = cpus();
  return {
    cpu: first?.model.trim(),
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    uWebSockets: packageVersion('uWebSockets.js'),
    commit: git('rev-parse', '--short', 'HEAD'),
    changed: git('status', '--porcelain') !== '',
  };
}

function packageVersion(name: string): string {
  return JSON.parse(readFileSync(join(projectFolder, 'node_modules', name, 'package.json'), 'utf8')).version;
}

function git(...args: readonly string[]): string {
  try {
    return execFileSync('git', [...args], {
      cwd: projectFolder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    // An unpacked archive has no history.
    return 'unknown';
  }
}
