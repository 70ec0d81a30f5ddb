import type { AttackCase, AttackFile } from './cases.ts';
import { MalformedAttacks } from './cases.ts';
import { FAMILY_RUNNERS } from './families.ts';
import { createLab, type FamilyRunner, type Lab } from './lab.ts';
import { CaseLog, type CaseResult } from './report.ts';

/** What a run gave. */
export type AttackRun = {
  readonly results: readonly CaseResult[];
  /** Who played whom: peer named by a case -> loopback address. */
  readonly peers: Readonly<Record<string, string>>;
};

/** The server under attack cannot be started at all. */
export class WorldUnavailable extends Error {}

/**
 * Run every case of the files against a real server in the fixed test world, one after the other.
 * @throws MalformedAttacks if a case cannot be understood as one of its family; WorldUnavailable if there is no server.
 */
export async function runAttacks(files: readonly AttackFile[]): Promise<AttackRun> {
  const results: CaseResult[] = [];
  const lab = await openLab();
  const stray: unknown[] = [];
  const onStray = (reason: unknown): void => void stray.push(reason);
  process.on('unhandledRejection', onStray);
  process.on('uncaughtException', onStray);
  try {
    for (const { family, cases } of files) {
      for (const attack of cases) {
        results.push(withStray(await runOne(lab, FAMILY_RUNNERS[family], family, attack), stray));
      }
    }
    return { results, peers: Object.fromEntries(lab.world.peers.mapping) };
  } finally {
    await lab.close();
    process.off('unhandledRejection', onStray);
    process.off('uncaughtException', onStray);
  }
}

/** The test world with its plain instance up: without that one, every case would only repeat why it cannot start. */
async function openLab(): Promise<Lab> {
  const lab = await createLab();
  try {
    await lab.world.instance();
    return lab;
  } catch (error) {
    await lab.close();
    throw new WorldUnavailable(`the server of the test world does not start: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function runOne(lab: Lab, runner: FamilyRunner, family: string, attack: AttackCase): Promise<CaseResult> {
  try {
    return await runner(lab, attack);
  } catch (error) {
    if (error instanceof MalformedAttacks) throw error;
    const log = new CaseLog();
    log.check(false, `the case could not be carried out: ${(error as Error).stack ?? String(error)}`);
    return log.finish(family, attack);
  }
}

/** An error that escaped while a case ran counts against that case. */
function withStray(result: CaseResult, stray: unknown[]): CaseResult {
  const escaped = stray.splice(0);
  if (escaped.length === 0) return result;
  const reasons = escaped.map(
    (reason) => `an error escaped in the process: ${reason instanceof Error ? reason.stack : String(reason)}`,
  );
  return { ...result, outcome: 'failed', reasons: [...result.reasons, ...reasons] };
}
