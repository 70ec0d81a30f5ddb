import { compileHandleFinder } from '../../src/core/cookie.ts';
import { cookieBench, kilobyteHeader } from '../cookie.ts';
import { bytesPerCall } from '../lib/alloc.ts';
import { formatMicro, type MicroResult, microRatios, runMicro } from '../lib/micro.ts';
import { whenQuiet } from '../lib/rounds.ts';
import { exactly, spreadOf } from '../lib/stats.ts';
import type { Measure, Scenario } from '../lib/types.ts';

const findHandle = compileHandleFinder('bff_session');

const GROUP = 'cookie in the middle of 1 KiB';

/** P11: the cookie scan. */
export const scanScenario: Scenario = {
  name: 'scan',
  title: 'cookie scan',
  subjects: [],
  async run(_lab, options) {
    const rounds: (readonly MicroResult[])[] = [];
    for (let round = 1; round <= options.rounds; round++) {
      await whenQuiet(options);
      rounds.push(await runMicro(cookieBench, options.quick ? 50 : 500));
    }
    options.say(formatMicro(rounds.at(-1) ?? []));
    const ratios = microRatios(rounds, GROUP, 'package cookie', 'findHandle (shipped)');
    const bytes = measureBytes();
    const measures: Measure[] = [
      {
        target: 'P11',
        what: 'package cookie / ours, time',
        spread: spreadOf(ratios),
        unit: '×',
        limit: { kind: 'at least', value: 10 },
      },
      {
        target: 'P11',
        what: 'allocated by a call beyond the slice',
        spread: exactly(bytes),
        unit: 'bytes',
        limit: { kind: 'at most', value: 0 },
      },
    ];
    return { samples: [], measures, gaps: [] };
  },
};

/** Heap bytes of a call less those of the slice that it returns. */
function measureBytes(): number {
  const header = kilobyteHeader(7);
  const handle = findHandle(header);
  const start = header.indexOf(handle);
  const end = start + handle.length;
  const scan = bytesPerCall(() => findHandle(header));
  const slice = bytesPerCall(() => header.slice(start, end));
  return Math.round(scan - slice);
}
