import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { projectFolder } from '../../scripts/parts.js';

/**
 * Build the package into a folder and install it there: what `files` of package.json names, the native core as its only
 * package, and what the installation runs. Needs the part `esbuild`.
 * @returns what the installation printed.
 * @throws Error with what the build or the installation printed.
 */
export function installPackage(folder: string): string {
  runNode(projectFolder, join(projectFolder, 'scripts/build.ts'), join(folder, 'dist'));
  for (const name of ['package.json', ...packagedFiles()]) {
    if (name !== 'dist/') cpSync(join(projectFolder, name), join(folder, name), { recursive: true });
  }
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(projectFolder, 'node_modules/uWebSockets.js'), join(folder, 'node_modules/uWebSockets.js'));
  return runInstallation(folder);
}

/** What `npm install` runs in the package's folder. @returns what it printed. @throws Error if it fails */
export function runInstallation(folder: string): string {
  return runNode(folder, 'scripts/postinstall.js');
}

function packagedFiles(): readonly string[] {
  const { files } = JSON.parse(readFileSync(join(projectFolder, 'package.json'), 'utf8')) as { files: string[] };
  return files.filter((name) => !name.startsWith('!'));
}

function runNode(cwd: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8', timeout: 120_000 });
  if (status !== 0)
    throw new Error(`the package cannot be built: ${args[0]} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}
