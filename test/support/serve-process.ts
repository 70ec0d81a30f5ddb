import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { projectFolder } from '../../scripts/parts.js';
import { UNUSED_IDPS } from './h2.ts';
import { defaultSettings, type LogLine } from './test-server.ts';
import { until } from './until.ts';

/** `sallyport serve` as a process of its own. */
export type ServeProcess = {
  readonly pid: number;
  readonly log: readonly LogLine[];
  /** Everything on standard error. */
  errors(): string;
  ports(): { readonly public: number; readonly verify: number; readonly verifyH2: number; readonly admin: number };
  /** Write settings.yaml and routes.yaml again; a reload is asked for with `signal('SIGHUP')`. */
  configure(files: ServeFiles): void;
  /** Text as it is, to write nonsense. */
  write(name: string, text: string): void;
  signal(name: NodeJS.Signals): void;
  /** Resolves to the exit code when the process has ended; a signal that ended it is its name. */
  readonly ended: Promise<number | string>;
  /** Waits for a log line. @throws Error after `deadlineMs` */
  logged(message: string, count?: number, deadlineMs?: number): Promise<LogLine>;
  /** Kills what is left and removes the files. */
  remove(): Promise<void>;
};

/** settings.yaml (merged over the usual ones, first level) and routes.yaml. */
export type ServeFiles = { readonly settings?: Readonly<Record<string, unknown>>; readonly routes?: object };

/** Those, and further keys of the one provider in idps.yaml. */
export type ServeStart = ServeFiles & { readonly idp?: Readonly<Record<string, unknown>> | undefined };

/** A public route `/open/*`; everything else asks for a session. */
export const OPEN_ROUTES = { version: 1, routes: [{ id: 'open', paths: ['/open/*'], auth: 'none' }] };

/** Start it with a configuration directory of its own; it may still be starting, or fail to, when this returns. */
export function spawnServe(
  { idp, ...files }: ServeStart,
  environment: Readonly<Record<string, string>> = {},
): ServeProcess {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-serve-'));
  const base = defaultSettings();
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);
  const configure = ({ settings, routes = OPEN_ROUTES }: ServeFiles): void => {
    write('settings.yaml', JSON.stringify({ ...base, ...settings }));
    write('routes.yaml', JSON.stringify(routes));
  };
  write('idps.yaml', JSON.stringify({ version: 1, providers: { main: { ...UNUSED_IDPS.providers.main, ...idp } } }));
  configure(files);
  const launcher = join(projectFolder, 'bin/sallyport.js');
  const child: ChildProcess = spawn(process.execPath, [launcher, 'serve', '--config', directory], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...environment },
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const log: LogLine[] = [];
  let errors = '';
  createInterface({ input: child.stdout! }).on('line', (line) => log.push(JSON.parse(line) as LogLine));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  let isOver = false;
  const ended = new Promise<number | string>((resolve) => {
    child.once('close', (code, signal) => {
      isOver = true;
      process.removeListener('exit', kill);
      resolve(code ?? signal ?? 'unknown');
    });
  });
  const linesOf = (message: string): LogLine[] => log.filter(({ msg }) => msg === message);
  return {
    pid: child.pid ?? 0,
    log,
    errors: () => errors,
    ports() {
      // Of a supervisor and its workers, the line of the supervisor.
      const line = linesOf('listening').find(({ worker }) => worker === undefined);
      const port = (name: string): number => Number(line?.[name] ?? 0);
      return {
        public: port('publicPort'),
        verify: port('verifyPort'),
        verifyH2: port('verifyH2Port'),
        admin: port('adminPort'),
      };
    },
    configure,
    write,
    signal: (name) => void child.kill(name),
    ended,
    async logged(message, count = 1, deadlineMs = 20_000) {
      const isThere = (): boolean => {
        if (isOver) throw new Error(`ended before "${message}": ${errors}${JSON.stringify(log.at(-1))}`);
        return linesOf(message).length >= count;
      };
      await until(isThere, `log line ${message}`, deadlineMs);
      return linesOf(message)[count - 1] as LogLine;
    },
    async remove() {
      if (!isOver) child.kill('SIGKILL');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Process ids of the workers of a supervisor, by asking the system. */
export async function findChildren(pid: number): Promise<number[]> {
  const child = spawn('ps', ['-o', 'pid=', '--ppid', String(pid)], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await new Promise((resolve) => child.once('close', resolve));
  return text
    .split('\n')
    .map(Number)
    .filter((number) => number > 0);
}
