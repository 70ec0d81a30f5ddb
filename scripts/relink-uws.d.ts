/** What relinking wants to know of a machine; `glibc` is undefined on musl and on other systems. */
export interface System {
  readonly platform: string;
  readonly arch: string;
  readonly glibc: string | undefined;
}

/** Relinks the binaries of `folder` where that is needed and known to work; returns one line that says what was done. */
export function relinkFolder(folder: string, system: System, knownFiles?: readonly (readonly string[])[]): string;
/** Says what this machine is. */
export function readSystem(): System;
/** Finds the folder of the installed uWebSockets.js package. */
export function findPackageFolder(): string;
