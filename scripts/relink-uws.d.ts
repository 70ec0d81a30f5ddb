import type { System } from './uws-files.js';

/** Relinks the binaries of `folder` where that is needed and known to work; returns one line that says what was done. */
export function relinkFolder(folder: string, system: System, steps?: readonly (readonly string[])[]): string;
