import { installPackage } from '../../test/support/built-package.ts';
import type { Lab } from './lab.ts';

/**
 * Build the package as it is installed: one file, compiled once. A checkout strips types and reads hundreds of files at each
 * start, which costs time and memory that no installation pays.
 * @returns its folder.
 * @throws Error with what the build printed.
 */
export function buildPackage(lab: Lab): string {
  const folder = lab.subfolder('package');
  installPackage(folder);
  return folder;
}
