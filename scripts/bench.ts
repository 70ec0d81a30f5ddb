/**
 * Runs the benches: `node scripts/bench.ts [NAME…] [--rounds N] [--seconds S] [--warm-up S] [--connections N] [--patience S] [--quick]`.
 *
 * A NAME is a scenario of bench/scenarios/all.ts, `micro` (every hot file) or `micro/FILE`; without one everything runs.
 * Writes JSON and SVG to bench/results/ and prints the table of targets. Exit code 1 if a target is missed by more than
 * its noise band, 2 for wrong usage. How it is measured: docs/performance.md.
 */

import { parseArgs } from 'node:util';
import { openLab } from '../bench/lib/lab.ts';
import { formatMicro, runMicro } from '../bench/lib/micro.ts';
import { LOAD_CORE, moveToCore } from '../bench/lib/process.ts';
import { describeMachine, formatSubjects, formatTable, judge, writeResults } from '../bench/lib/report.ts';
import { median } from '../bench/lib/stats.ts';
import { drawCpu } from '../bench/lib/svg.ts';
import type { BenchOptions, Outcome, Scenario } from '../bench/lib/types.ts';
import { MICRO_BENCHES } from '../bench/micro.ts';
import { SCENARIOS } from '../bench/scenarios/all.ts';

const MICRO = 'micro';

type Choice = { readonly options: BenchOptions; readonly names: readonly string[] };

function readArguments(args: readonly string[]): Choice | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        'warm-up': { type: 'string' },
        connections: { type: 'string', default: '64' },
        patience: { type: 'string' },
        quick: { type: 'boolean', default: false },
      },
    });
    const { quick } = values;
    const options: BenchOptions = {
      rounds: Number(values.rounds ?? (quick ? 1 : 5)),
      seconds: Number(values.seconds ?? (quick ? 1 : 5)),
      warmUpSeconds: Number(values['warm-up'] ?? (quick ? 1 : 2)),
      connections: Number(values.connections),
      patienceSeconds: Number(values.patience ?? (quick ? 0 : 120)),
      quick,
      say: (line) => console.error(line),
    };
    const { rounds, seconds, warmUpSeconds, connections, patienceSeconds } = options;
    const areWhole = [rounds, seconds, warmUpSeconds, connections, patienceSeconds].every(
      (value) => Number.isInteger(value) && value >= 0,
    );
    if (!areWhole || rounds === 0 || seconds === 0 || connections === 0) return undefined;
    return { options, names: positionals };
  } catch {
    // An option that parseArgs does not know: the usage says what there is.
    return undefined;
  }
}

function isKnown(name: string): boolean {
  const micro = MICRO_BENCHES.map((bench) => `${MICRO}/${bench.name}`);
  return [MICRO, ...micro, ...SCENARIOS.map((scenario) => scenario.name)].includes(name);
}

async function runScenario(scenario: Scenario, options: BenchOptions): Promise<Outcome> {
  options.say(`${scenario.name}: ${scenario.title}`);
  const lab = await openLab();
  try {
    const outcome = await scenario.run(lab, options);
    const path = writeResults(scenario.name, outcome, options, drawCpu(scenario.title, outcome.samples));
    if (outcome.samples.length > 0) console.log(`\n${scenario.title}\n\n${formatSubjects(outcome.samples, median)}\n`);
    options.say(`written to ${path}`);
    return outcome;
  } finally {
    await lab.close();
  }
}

async function runMicroBenches(names: readonly string[], { quick }: BenchOptions): Promise<void> {
  for (const bench of MICRO_BENCHES) {
    const isWanted = names.length === 0 || names.includes(MICRO) || names.includes(`${MICRO}/${bench.name}`);
    if (isWanted) console.log(`${MICRO}/${bench.name}\n${formatMicro(await runMicro(bench, quick ? 50 : 500))}\n`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const choice = readArguments(args);
  if (choice === undefined || !choice.names.every(isKnown)) {
    const names = SCENARIOS.map(({ name }) => name).join(', ');
    console.error(
      `usage: npm run bench -- [NAME…] [--rounds N] [--seconds S] [--warm-up S] [--connections N] [--patience S] [--quick]`,
    );
    console.error(`names: ${names}, ${MICRO}, ${MICRO}/FILE`);
    return 2;
  }
  const { options, names } = choice;
  await moveToCore(LOAD_CORE);
  await runMicroBenches(names, options);
  const outcomes: Outcome[] = [];
  for (const scenario of SCENARIOS) {
    if (names.length === 0 || names.includes(scenario.name)) outcomes.push(await runScenario(scenario, options));
  }
  if (outcomes.length === 0) return 0;
  const { rounds, seconds, quick } = options;
  console.log(`\n${JSON.stringify(describeMachine())}, ${rounds} rounds of ${seconds} s${quick ? ', quick' : ''}\n`);
  console.log(formatTable(outcomes));
  const missed = outcomes.flatMap(({ measures }) => measures).filter((measure) => judge(measure) === 'miss');
  return missed.length === 0 || quick ? 0 : 1;
}

// A signal ends everything that was started, too: those listen to this process's end, which a signal alone skips.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130));
process.exitCode = await main(process.argv.slice(2));
