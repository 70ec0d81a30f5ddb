import { readFileSync } from 'node:fs';
import { pace, saturate } from '../lib/load.ts';
import { type Contender, whenQuiet } from '../lib/rounds.ts';
import { spreadOf } from '../lib/stats.ts';
import { missingParts, openAll } from '../lib/subjects.ts';
import type { BenchOptions, Measure, Scenario, Subject } from '../lib/types.ts';
import { hello, l1, l1Off, VERIFY_PATH } from './verify.ts';

const HELLO = hello('smallest');
const KEPT = l1('smallest');
const STORE = l1Off('smallest');
const SUBJECTS: readonly Subject[] = [HELLO, KEPT, STORE].map((subject) => ({ ...subject, needs: ['h2load'] }));
const SATURATION_SECONDS = 2;

/** P10: latency while half of what the server can do is asked of it. */
export const latencyScenario: Scenario = {
  name: 'latency',
  title: 'latency at half of saturation',
  subjects: SUBJECTS,
  async run(lab, options) {
    const missing = SUBJECTS.flatMap(missingParts);
    if (missing.length > 0) return { samples: [], measures: [], gaps: [{ target: 'P10', reason: `no ${missing[0]}` }] };
    const { contenders, close } = await openAll(lab, SUBJECTS);
    try {
      return { samples: [], measures: measuresOf(await measureAll(contenders, options)), gaps: [] };
    } finally {
      await close();
    }
  },
};

type Latencies = ReadonlyMap<string, readonly number[]>;

async function measureAll(contenders: readonly Contender[], options: BenchOptions): Promise<Latencies> {
  const all = new Map<string, number[]>(contenders.map(({ subject }) => [subject.name, []]));
  for (let round = 1; round <= options.rounds; round++) {
    await whenQuiet(options);
    for (const { subject, open } of contenders) {
      const { connections, seconds } = options;
      const { port, requestsFile } = open;
      const full = await saturate({ port, requestsFile, connections, seconds: SATURATION_SECONDS });
      const perSecond = full.requests / full.seconds / 2;
      const headers = headersOf(requestsFile);
      const half = await pace({ port, path: VERIFY_PATH, headers, connections, seconds, perSecond });
      if (half.failed > 0 || half.badStatus > 0) throw new Error(`${subject.name}: ${JSON.stringify(half)}`);
      all.get(subject.name)?.push(half.p99Us);
      const line = `${Math.round(half.requests / half.seconds)}/s, p50 ${half.p50Us} µs, p99 ${half.p99Us} µs`;
      options.say(`  round ${round}  ${subject.name.padEnd(24)} ${line}`);
    }
  }
  return all;
}

/** Those of the file's first request; the generator writes Host itself. */
function headersOf(requestsFile: string): readonly (readonly [string, string])[] {
  const [first = ''] = readFileSync(requestsFile, 'latin1').split('\r\n\r\n', 1);
  return first
    .split('\r\n')
    .slice(1)
    .map((line): readonly [string, string] => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)])
    .filter(([name]) => name !== 'Host');
}

function measuresOf(all: Latencies): Measure[] {
  const base = all.get(HELLO.name) ?? [];
  return (
    [
      [KEPT.name, 1_000],
      [STORE.name, 3_000],
    ] as const
  ).flatMap(([name, limitUs]): Measure[] => {
    const values = all.get(name) ?? [];
    const ratios = values.map((value, at) => value / (base[at] ?? Number.NaN));
    const shared = { target: 'P10', note: 'one session asked again and again, h2load' };
    return [
      {
        ...shared,
        what: `${name}, p99`,
        spread: spreadOf(values),
        unit: 'µs',
        limit: { kind: 'at most', value: limitUs },
      },
      {
        ...shared,
        what: `${name} / hello, p99`,
        spread: spreadOf(ratios),
        unit: '×',
        limit: { kind: 'at most', value: 2 },
      },
    ];
  });
}
