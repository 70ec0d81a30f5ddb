import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readMetric } from './metrics.ts';
import { defaultSettings } from './test-server.ts';
import { until } from './until.ts';

/** What the server's process looks like after two collections. */
export type Measurement = {
  readonly heapUsedBytes: number;
  /** Open sockets of every kind. */
  readonly sockets: number;
  /** Unhandled rejections and lines of level error or fatal since the last measurement. */
  readonly problems: readonly string[];
};

/** A server in a child process. All its listeners' requests go to the public port; verify shares it. */
export type ChildServer = {
  readonly ports: { readonly public: number; readonly verify: number; readonly admin: number };
  readonly url: string;
  /** For signals. */
  readonly child: ChildProcess;
  measure(): Promise<Measurement>;
  /** A number of its /metrics, see `readMetric`. */
  metric(name: string): Promise<number>;
  /** Stop it, unless it was killed. @throws AssertionError if it does not end with code 0 */
  close(): Promise<void>;
};

/** Start a server with `settings` over the tests' defaults, and wait until it is ready. */
export async function startChildServer(idps: object, settings: object, routes?: object): Promise<ChildServer> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-child-'));
  const anywhere = { address: '127.0.0.1', port: 0 };
  const shared = { listen: { public: anywhere, admin: anywhere }, log: { level: 'info', access: 'none' } };
  const files = { settings: { ...defaultSettings(), ...shared, ...settings }, idps, ...(routes && { routes }) };
  for (const [name, value] of Object.entries(files))
    writeFileSync(join(directory, `${name}.yaml`), JSON.stringify(value));
  const child = fork(join(import.meta.dirname, 'serve-child.ts'), [directory], { execArgv: ['--expose-gc'] });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => {
    process.removeListener('exit', kill);
    rmSync(directory, { recursive: true, force: true });
  });
  const [{ publicPort, adminPort }] = (await answerOf(child)) as [{ publicPort: number; adminPort: number }];
  const ready = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status === 200;
  await until(ready, 'the server is ready', 20_000);
  return {
    ports: { public: publicPort, verify: publicPort, admin: adminPort },
    url: `http://127.0.0.1:${publicPort}`,
    child,
    async measure() {
      const answer = answerOf(child);
      child.send('measure');
      return ((await answer) as [Measurement])[0];
    },
    metric: (name) => readMetric(adminPort, name),
    close: () => stop(child),
  };
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  // A test may have halted it.
  child.kill('SIGCONT');
  child.send('stop');
  const [code] = (await ended) as [number | null];
  assert.equal(code, 0, 'the server ended by itself');
}

/** The next message, or the end of the process as an error. */
async function answerOf(child: ChildProcess): Promise<unknown[]> {
  const stop = new AbortController();
  const ended = once(child, 'exit', { signal: stop.signal }).then(([code]) => {
    throw new Error(`the server's process ended with ${String(code)}`);
  });
  ended.catch(() => {});
  try {
    return await Promise.race([once(child, 'message', { signal: stop.signal }), ended]);
  } finally {
    stop.abort();
  }
}
