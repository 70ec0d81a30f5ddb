import { execFile } from 'node:child_process';
import { cpSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { projectFolder } from '../../scripts/parts.js';
import type { Lab } from './lab.ts';

const run = promisify(execFile);

/**
 * Build the package as it is installed, JavaScript without sources: a checkout strips types at the start, which costs
 * time and memory that no installation pays.
 * @returns its folder.
 * @throws Error with the compiler's messages.
 */
export async function buildPackage(lab: Lab): Promise<string> {
  const folder = lab.subfolder('package');
  const compiler = join(projectFolder, 'node_modules/.bin/tsc');
  try {
    await run(compiler, ['-p', 'tsconfig.build.json', '--outDir', join(folder, 'dist')], { cwd: projectFolder });
  } catch (error) {
    const { stdout } = error as { readonly stdout?: string };
    throw new Error(`the package cannot be built:\n${stdout ?? String(error)}`);
  }
  for (const name of ['bin', 'config', 'scripts', 'package.json']) {
    cpSync(join(projectFolder, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(projectFolder, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}
