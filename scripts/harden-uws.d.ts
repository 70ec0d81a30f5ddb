import type { System } from './uws-files.js';

/** Returns a copy of a uWebSockets.js binary for x86-64 with every correction. */
export function hardenCore(input: Buffer): Buffer;
/** Hardens the binaries of `folder` where that is needed and known to work; returns one line that says what was done. */
export function hardenFolder(
  folder: string,
  system: Pick<System, 'platform' | 'arch'>,
  steps?: readonly (readonly string[])[],
): string;
