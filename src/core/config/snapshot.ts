import { createHash } from 'node:crypto';
import { loadConfig } from './load.ts';
import { type FileResult, type ReadFile, readFileBounded } from './read-file.ts';
import type { Config } from './types.ts';

/**
 * Every file that a configuration was made of, as it was then: other processes make the very same of it, whatever has
 * happened to the files since. Holds secrets: it goes to child processes over their private channel and nowhere else.
 */
export type ConfigSnapshot = {
  readonly directory: string;
  /** Names the contents, for logs. */
  readonly version: string;
  readonly files: readonly (readonly [key: string, file: FileResult])[];
};

type Source = {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly readFile?: ReadFile;
};

/** Load a configuration and remember all that was read. @throws ConfigError as loadConfig */
export function loadAndRecord(source: Source): { readonly config: Config; readonly snapshot: ConfigSnapshot } {
  const { directory, readFile = readFileBounded } = source;
  const files = new Map<string, FileResult>();
  const recording: ReadFile = (path, maxBytes) => {
    const key = keyOf(path, maxBytes);
    const known = files.get(key);
    if (known !== undefined) return known;
    const file = readFile(path, maxBytes);
    files.set(key, file);
    return file;
  };
  const config = loadConfig({ ...source, readFile: recording });
  const version = createHash('sha256');
  for (const [key, { bytes }] of files) version.update(`${key} ${bytes?.length ?? 'none'} `).update(bytes ?? '');
  return { config, snapshot: { directory, version: version.digest('hex').slice(0, 12), files: [...files] } };
}

/** Load what was recorded. @param environment the one that it was recorded with. @throws ConfigError if it differs */
export function loadSnapshot(snapshot: ConfigSnapshot, environment: Source['environment']): Config {
  const files = new Map(snapshot.files);
  const readFile: ReadFile = (path, maxBytes) => {
    const file = files.get(keyOf(path, maxBytes));
    if (file?.bytes === undefined) return file ?? { problem: 'was not recorded', absent: false };
    // What came through a channel between processes need not be a Buffer any more.
    return { bytes: Buffer.from(file.bytes) };
  };
  return loadConfig({ directory: snapshot.directory, environment, readFile });
}

function keyOf(path: string, maxBytes: number): string {
  return `${maxBytes} ${path}`;
}
