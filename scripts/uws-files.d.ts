/** What relinking and hardening want to know of a machine; `glibc` is undefined on musl and on other systems. */
export interface System {
  readonly platform: string;
  readonly arch: string;
  readonly glibc: string | undefined;
}

/** One listed binary and its SHA-256 in each state; the last two exist for x86-64 alone. */
export interface UwsFile {
  readonly name: string;
  readonly published: string;
  readonly relinked: string;
  readonly hardened?: string;
  readonly both?: string;
  /** Hardened, and both, as they were with fewer corrections. */
  readonly earlier?: readonly [string, string];
}

/** File names by what became of them. */
export interface Updated {
  readonly changed: string[];
  readonly already: string[];
  readonly unknown: string[];
}

/** The Linux binaries of the locked release of uWebSockets.js. */
export const UWS_FILES: readonly UwsFile[];
/** Changes the binaries of `folder` for Linux on `arch` that `steps` (name, SHA-256 before, SHA-256 after) lists. */
export function updateFiles(
  folder: string,
  arch: string,
  steps: readonly (readonly string[])[],
  transform: (input: Buffer) => Buffer,
): Updated;
/** Says what this machine is. */
export function readSystem(): System;
/** Finds the folder of the installed uWebSockets.js package. */
export function findPackageFolder(): string;
