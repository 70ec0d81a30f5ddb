/**
 * `node scripts/build.ts [FOLDER]`: writes `dist/` (or FOLDER), the program for packaging: `main.js`, and `LICENSES.txt` of the
 * packages in it. What is compiled of it beforehand is made where it is installed (scripts/compile.js).
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeBundle } from './build/bundle.ts';
import { collectLicences } from './build/licences.ts';
import { projectFolder } from './parts.js';

const [given] = process.argv.slice(2);
const folder = resolve(given ?? join(projectFolder, 'dist'));
try {
  // What an earlier build left there would be packed. Another folder may hold anything.
  if (given === undefined) rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const inputs = await writeBundle(join(folder, 'main.js'));
  writeFileSync(join(folder, 'LICENSES.txt'), collectLicences(projectFolder, inputs));
} catch (error) {
  console.error(`cannot build: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
