import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const PACKAGE_FOLDER = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/;
const LICENCE_FILE = /^(licen[cs]e|copying|notice)/i;

/**
 * Licences of the packages that went into a bundle, each with its name and version.
 * @param inputs paths of their files from the project's folder, as esbuild names them.
 * @throws Error for a package that names no licence.
 */
export function collectLicences(projectFolder: string, inputs: readonly string[]): string {
  const folders = new Set(inputs.flatMap((path) => PACKAGE_FOLDER.exec(path)?.[0] ?? []));
  const texts = [...folders].sort().map((folder) => describePackage(join(projectFolder, folder)));
  return `Software of others in main.js, with its licences.\n\n${texts.join('\n')}`;
}

function describePackage(folder: string): string {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (typeof license !== 'string') throw new Error(`the package ${name} names no licence`);
  const files = readdirSync(folder).filter((file) => LICENCE_FILE.test(file));
  const holder = typeof author === 'string' ? author : author?.name;
  const texts = files.map((file) => readFileSync(join(folder, file), 'utf8').trim());
  const all = texts.length > 0 ? texts : [holder === undefined ? '' : `Copyright ${holder}`];
  return `${'='.repeat(80)}\n${name} ${version} (${license})\n\n${all.join('\n\n')}\n`;
}
