import { hrtimeNow, Bench as TinyBench } from 'tinybench';

/** One function measured against what was not taken. */
export type MicroGroup = {
  /** What is compared. */
  readonly name: string;
  /** Inputs that one call goes through; times are told for one of them. A clock cannot time less than about 50 ns. */
  readonly calls: number;
  /** Name to function; the first is the shipped one. All return the same. */
  readonly ways: Readonly<Record<string, () => unknown>>;
  /** Ends what the ways use. */
  close?(): Promise<void>;
};

/** The bench of one hot file. */
export type MicroBench = {
  /** As the file below bench/ without its ending. */
  readonly name: string;
  createGroups(): readonly MicroGroup[] | Promise<readonly MicroGroup[]>;
};

/** One way's time. */
export type MicroResult = { readonly group: string; readonly way: string; readonly ns: number; readonly madNs: number };

/** Time every way of every group, in turn within a group. @param milliseconds counted for each way. */
export async function runMicro(bench: MicroBench, milliseconds: number): Promise<readonly MicroResult[]> {
  const results: MicroResult[] = [];
  for (const { name, ways, calls, close } of await bench.createGroups()) {
    const tiny = new TinyBench({ time: milliseconds, warmupTime: milliseconds / 4, now: hrtimeNow });
    for (const [way, run] of Object.entries(ways)) tiny.add(way, run);
    await tiny.run();
    for (const task of tiny.tasks) {
      const { result } = task;
      if (result.state !== 'completed') throw new Error(`${name}, ${task.name}: ${result.state}`);
      const { latency } = result;
      const scale = 1e6 / calls;
      results.push({ group: name, way: task.name, ns: latency.p50 * scale, madNs: latency.mad * scale });
    }
    await close?.();
  }
  return results;
}

/** Times of one file as a table, each way beside the shipped one. */
export function formatMicro(results: readonly MicroResult[]): string {
  const groups = [...new Set(results.map(({ group }) => group))];
  return groups
    .map((group) => {
      const own = results.filter((result) => result.group === group);
      const shipped = own[0]?.ns ?? Number.NaN;
      const rows = own.map(({ way, ns, madNs }) => {
        const ratio = `${(ns / shipped).toFixed(2)} ×`;
        return `  ${way.padEnd(38)} ${ns.toFixed(0).padStart(8)} ns ± ${madNs.toFixed(0).padEnd(6)} ${ratio}`;
      });
      return `${group}\n${rows.join('\n')}`;
    })
    .join('\n');
}

/** How many times as long as `below` takes `above`, in each round. */
export function microRatios(
  rounds: readonly (readonly MicroResult[])[],
  group: string,
  above: string,
  below: string,
): readonly number[] {
  const find = (round: readonly MicroResult[], way: string): number =>
    round.find((result) => result.group === group && result.way === way)?.ns ?? Number.NaN;
  return rounds.map((round) => find(round, above) / find(round, below));
}
