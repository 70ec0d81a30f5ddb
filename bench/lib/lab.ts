import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis, type TestRedis } from '../../test/support/redis.ts';
import { type BenchProvider, startBenchProvider } from './provider.ts';
import { writeRequests } from './requests.ts';
import { sealSessions } from './sessions.ts';

/** What the subjects of a run share: one store, one provider, one set of sessions, one folder. */
export type Lab = {
  readonly folder: string;
  readonly redis: TestRedis;
  readonly provider: BenchProvider;
  /** Seal key of every Sallyport in the lab, so that sessions sealed here open there. */
  readonly sealSecret: string;
  /** At most so many sessions are made, whatever is asked for. */
  readonly sessionsMax: number;
  /** Handles of the first `count` sessions in the store; made at first need. */
  handles(count: number): Promise<readonly string[]>;
  /** Write requests to a file of the lab and return its path. */
  requests(name: string, texts: readonly string[]): string;
  /** A new empty folder. */
  subfolder(name: string): string;
  close(): Promise<void>;
};

/**
 * Open a lab.
 * @param options.sealSecret that of another lab; a new one if absent.
 * @param options.sessionsMax for tests, which need few sessions; no bound if absent.
 * @throws Error without redis-server
 */
export async function openLab(
  options: { readonly sealSecret?: string; readonly sessionsMax?: number } = {},
): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-bench-'));
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true });
  process.once('exit', removeFolder);
  const { sessionsMax = Number.POSITIVE_INFINITY } = options;
  const sealSecret = options.sealSecret ?? randomBytes(32).toString('base64url');
  const redis = await startRedis({ extra: ['--enable-debug-command', 'local', '--maxclients', '1000'] });
  const provider = await startBenchProvider();
  const handles: string[] = [];
  let folders = 0;
  return {
    folder,
    redis,
    provider,
    sealSecret,
    sessionsMax,
    async handles(wanted) {
      const count = Math.min(wanted, sessionsMax);
      if (handles.length < count) {
        handles.push(...(await sealSessions(redis, sealSecret, handles.length, count, provider.issuer)));
      }
      return handles.slice(0, count);
    },
    requests(name, texts) {
      const file = join(folder, `${name}.requests`);
      writeRequests(file, texts);
      return file;
    },
    subfolder(name) {
      folders += 1;
      const path = join(folder, `${name}-${folders}`);
      mkdirSync(path);
      return path;
    },
    async close() {
      await provider.close();
      await redis.remove();
      process.removeListener('exit', removeFolder);
      removeFolder();
    },
  };
}
