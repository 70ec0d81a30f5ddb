import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { findOnPath, projectFolder } from '../../scripts/parts.js';

/** A program that runs until it is stopped. */
export type Running = {
  readonly pid: number;
  /** What it wrote to both outputs, its last 64 KiB. */
  output(): string;
  /** SIGTERM, SIGKILL after 10 s; waits for its end. */
  stop(): Promise<void>;
};

const PORT_MIN = 15_000;
const PORT_MAX = 32_000;
const OUTPUT_MAX_CHARS = 65_536;
const START_MS = 20_000;
const STOP_MS = 10_000;

/** The core that the program under test has for itself; everything else runs on the other one. */
export const SERVER_CORE = 0;
/** The core of generator, store, provider and this process. */
export const LOAD_CORE = 1;

/**
 * Start a program, on one core where the machine has taskset.
 * @param core a number, a list as taskset takes it (`0,1`), or undefined = where this process runs.
 */
export function startProgram(
  command: string,
  args: readonly string[],
  options: { readonly core?: number | string | undefined; readonly env?: Readonly<Record<string, string>> } = {},
): Running {
  const [program, ...rest] = [...pinning(options.core), command, ...args];
  const child = spawn(program ?? command, rest, {
    cwd: projectFolder,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (chunk: string): void => {
    output = (output + chunk).slice(-OUTPUT_MAX_CHARS);
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  // One listener for each program of a run, and there are dozens.
  process.setMaxListeners(0);
  // Asked, not forced: what it started itself must end with it.
  const onExit = (): void => void child.kill('SIGTERM');
  process.once('exit', onExit);
  child.once('exit', () => process.removeListener('exit', onExit));
  return { pid: child.pid ?? 0, output: () => output, stop: () => stop(child) };
}

/** Wait until something listens on a loopback port. @throws Error with the program's output after 20 s */
export async function whenListening(port: number, running: Running): Promise<void> {
  for (const end = performance.now() + START_MS; performance.now() < end; await sleep(5)) {
    if (isListening(port)) return;
    if (!isAlive(running.pid)) break;
  }
  const output = running.output();
  await running.stop();
  throw new Error(`nothing listens on port ${port}:\n${output}`);
}

/** Move this process to a core; what it starts from now on inherits that. */
export async function moveToCore(core: number): Promise<void> {
  const taskset = findOnPath(['taskset']);
  if (taskset === undefined) return;
  await once(spawn(taskset, ['-a', '-p', '-c', String(core), String(process.pid)], { stdio: 'ignore' }), 'exit');
}

function pinning(core: number | string | undefined): string[] {
  const taskset = core === undefined ? undefined : findOnPath(['taskset']);
  return taskset === undefined ? [] : [taskset, '-c', String(core)];
}

/**
 * Whether a program listens on a loopback port. Looked up, not tried: a connection to a free port can meet itself, and
 * then holds the port that the program wants.
 */
export function isListening(port: number): boolean {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  return rows.some((row) => row.includes(wanted) && /^ *\d+: [0-9A-F]+:[0-9A-F]{4} [0-9A-F]+:0000 0A /.test(row));
}

/**
 * The first of `count` consecutive loopback ports that nobody listens on, below those that the system gives to outgoing
 * connections: between this look and the server's start nobody else may get them.
 */
export function pickPorts(count: number): number {
  for (;;) {
    const first = randomInt(PORT_MIN, PORT_MAX - count);
    if (Array.from({ length: count }, (_, at) => first + at).every((port) => !isListening(port))) return first;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(timer);
}
