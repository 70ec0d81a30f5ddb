import assert from 'node:assert/strict';
import { join } from 'node:path';
import { findPart } from '../../scripts/parts.js';
import type { Lab } from './lab.ts';
import type { OnceAnswer } from './once.ts';
import { LOAD_CORE, pickPorts, SERVER_CORE, startProgram, whenListening } from './process.ts';
import { type Contender, runRounds } from './rounds.ts';
import { nodeProgram, type SallyportOptions, startSallyport } from './sallyport.ts';
import type { BenchOptions, OpenSubject, Sample, Subject } from './types.ts';

/** Sessions that requests come from, in turn. */
export const SESSIONS = 1_000;

/** Start subjects one after the other; those that lack a part are left out and named. */
export async function openAll(
  lab: Lab,
  subjects: readonly Subject[],
): Promise<{ contenders: Contender[]; missing: string[]; close(): Promise<void> }> {
  const contenders: Contender[] = [];
  const missing: string[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(contenders.map(({ open }) => open.close()));
  };
  try {
    for (const subject of subjects) {
      const absent = missingParts(subject);
      if (absent.length > 0) missing.push(`${subject.name}: no ${absent.join(', ')}`);
      else contenders.push({ subject, open: await subject.open(lab) });
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { contenders, missing, close };
}

/** Start subjects, measure them in turn (see `runRounds`) and end them; those that lack a part are left out and named. */
export async function measureInTurn(
  lab: Lab,
  subjects: readonly Subject[],
  options: BenchOptions,
): Promise<{ readonly samples: readonly Sample[]; readonly missing: readonly string[] }> {
  const { contenders, missing, close } = await openAll(lab, subjects);
  try {
    return { samples: await runRounds(contenders, options), missing };
  } finally {
    await close();
  }
}

/** Parts that a subject needs and this machine does not have. */
export function missingParts({ needs }: Subject): readonly string[] {
  return needs.filter((name) => findPart(name) === undefined);
}

/** A server of bench/servers on the server's core. */
export async function openServer(
  file: string,
  args: readonly string[],
  requestsFile: string,
  core: number = SERVER_CORE,
): Promise<OpenSubject> {
  const port = pickPorts(1);
  const program = join(import.meta.dirname, '../servers', file);
  const running = startProgram(nodeProgram(), [program, String(port), ...args], { core });
  await whenListening(port, running);
  return { port, pids: [running.pid], requestsFile, close: running.stop };
}

/** A subject in front of a server of bench/servers, which runs beside the generator: its time is nobody's. */
export async function openBefore(
  file: string,
  open: (servicePort: number) => Promise<OpenSubject>,
): Promise<OpenSubject> {
  const service = await openServer(file, [], '', LOAD_CORE);
  try {
    const subject = await open(service.port);
    const close = async (): Promise<void> => {
      await subject.close();
      await service.close();
    };
    return { ...subject, close };
  } catch (error) {
    await service.close();
    throw error;
  }
}

/** A Sallyport asked at its verify listener. */
export async function openVerify(lab: Lab, requestsFile: string, options: SallyportOptions = {}): Promise<OpenSubject> {
  const { verifyPort, pid, stop } = await startSallyport(lab, options);
  return { port: verifyPort, pids: [pid], requestsFile, close: stop };
}

/** The allow answer with every identity header. */
export function checkAllowed({ status, headers, body }: OnceAnswer): void {
  assert.equal(status, 200);
  assert.equal(body, '');
  assert.match(headers.get('authorization') ?? '', /^Bearer token-of-u0\./);
  assert.equal(headers.get('authorization')?.length, 'Bearer '.length + 800);
  assert.equal(headers.get('x-user-id'), 'u0');
  assert.equal(headers.get('x-user-email'), 'u0@example.com');
}

/** `ok`. */
export function checkOk({ status, body }: OnceAnswer): void {
  assert.equal(status, 200);
  assert.equal(body, 'ok');
}

/** A refusal as programs get it. */
export function checkRefused({ status, headers }: OnceAnswer): void {
  assert.equal(status, 401);
  assert.equal(headers.get('content-type'), 'application/problem+json');
}
