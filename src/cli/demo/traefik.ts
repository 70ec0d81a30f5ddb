import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { compileDynamicConfig, compileStaticConfig, DEMO_HOST, type TraefikPorts } from './traefik-config.ts';

const PARTS_DIRECTORY = join(import.meta.dirname, '..', '..', '..', '.parts');
const START_DEADLINE_MS = 15_000;
const STOP_DEADLINE_MS = 5_000;
const OUTPUT_MAX_CHARS = 4_000;
// Newest version first, 3.10 before 3.9.
const byVersion = (a: string, b: string): number => b.localeCompare(a, 'en', { numeric: true });

/**
 * Finds a Traefik program: the environment's SALLYPORT_TRAEFIK, else the one fetched into `.parts`, else `traefik` on
 * the PATH. Undefined when there is none; a SALLYPORT_TRAEFIK that cannot be executed is not replaced by another.
 */
export function findTraefik(environment: NodeJS.ProcessEnv = process.env): string | undefined {
  const chosen = environment['SALLYPORT_TRAEFIK'];
  if (chosen !== undefined && chosen !== '') {
    return isExecutable(chosen) ? chosen : undefined;
  }
  const onPath = (environment['PATH'] ?? '').split(delimiter).map((directory) => join(directory, 'traefik'));
  return [...listFetched(), ...onPath].find(isExecutable);
}

// The table of parts names one version at a time; after it moved on, the older folder may still be there.
function listFetched(): string[] {
  try {
    const folders = readdirSync(PARTS_DIRECTORY).filter((name) => name.startsWith('traefik-'));
    return folders.sort(byVersion).map((folder) => join(PARTS_DIRECTORY, folder, 'traefik'));
  } catch {
    return [];
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A running Traefik. */
export type RunningTraefik = {
  readonly port: number;
  /** Process id of the process group that holds it. */
  readonly pid: number;
  /** Ends it (SIGTERM, after 5 s SIGKILL) and removes its folder. */
  close(): Promise<void>;
};

// Runs Traefik beside a reader of our pipe. When this process ends in whatever way, SIGKILL included, the kernel
// closes the pipe, the read returns, and both Traefik and its folder go.
const KEEPER = `
exec 3<&0
"$1" --configFile="$2/traefik.yml" </dev/null 3<&- &
traefik=$!
{ read -r _ <&3; kill -TERM "$traefik"; } 2>/dev/null &
reader=$!
exec 3<&-
wait "$traefik"
status=$?
kill "$reader" 2>/dev/null
rm -rf -- "$2"
exit "$status"
`;

/**
 * Starts Traefik with the demo's routers and waits until it serves the application at `/`.
 * Errors: when it ends at once or is not ready within 15 s; the message carries what it printed.
 */
export async function startTraefik(options: { binary: string; ports: TraefikPorts }): Promise<RunningTraefik> {
  const directory = await mkdtemp(join(tmpdir(), 'sallyport-traefik-'));
  await writeConfig(directory, options.ports);
  const child = spawn('/bin/sh', ['-c', KEEPER, 'sh', options.binary, directory], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: Ctrl-C in the terminal reaches this process alone, which then ends its parts in order.
    detached: true,
    cwd: directory,
    env: { PATH: process.env['PATH'] ?? '', HOME: directory },
  });
  const output = collectOutput(child);
  const exited = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  const close = async (): Promise<void> => {
    await stop(child, exited);
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await waitUntilReady(options.ports.entry, child);
  } catch (error) {
    await close();
    throw new Error(`${(error as Error).message}${output() === '' ? '' : `; it printed:\n${output()}`}`);
  }
  return { port: options.ports.entry, pid: child.pid ?? 0, close };
}

async function writeConfig(directory: string, ports: TraefikPorts): Promise<void> {
  const dynamicFile = join(directory, 'routers.yml');
  // JSON is YAML, which is what Traefik reads.
  await writeFile(dynamicFile, JSON.stringify(compileDynamicConfig(ports), null, 2), { mode: 0o600 });
  const staticText = JSON.stringify(compileStaticConfig(ports, dynamicFile), null, 2);
  await writeFile(join(directory, 'traefik.yml'), staticText, { mode: 0o600 });
}

function collectOutput(child: ChildProcess): () => string {
  let text = '';
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString('utf8')).slice(-OUTPUT_MAX_CHARS);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  return () => text.trim();
}

async function waitUntilReady(port: number, child: ChildProcess): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  while (performance.now() < deadline) {
    if (child.pid === undefined || child.exitCode !== null) {
      throw new Error('Traefik ended at once');
    }
    if (await answers(port)) {
      return;
    }
    await sleep(50);
  }
  throw new Error(`Traefik was not ready within ${START_DEADLINE_MS / 1000} s`);
}

async function answers(port: number): Promise<boolean> {
  try {
    const response = await request(`http://127.0.0.1:${port}/`, {
      headers: { host: `${DEMO_HOST}:${port}`, connection: 'close' },
      signal: AbortSignal.timeout(1000),
    });
    await response.body.dump();
    return response.statusCode === 200;
  } catch {
    return false;
  }
}

async function stop(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.pid === undefined) {
    return;
  }
  child.stdin?.end();
  const timer = setTimeout(() => killGroup(child), STOP_DEADLINE_MS);
  await exited;
  clearTimeout(timer);
}

function killGroup(child: ChildProcess): void {
  try {
    process.kill(-(child.pid ?? 0), 'SIGKILL');
  } catch {
    // The group ended between the deadline and here.
  }
}
