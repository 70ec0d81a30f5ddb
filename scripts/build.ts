/**
 * `node scripts/build.ts [FOLDER]`: writes `dist/` (or FOLDER), the program for packaging: `main.js`, and `LICENSES.txt` of the
 * packages in it. What is compiled of it beforehand is made where it is installed (scripts/compile.js).
 */

import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeBundle } from './build/bundle.ts';
import { collectLicences } from './build/licences.ts';
import { projectFolder } from './parts.js';

const folder = resolve(process.argv[2] ?? join(projectFolder, 'dist'));
try {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const inputs = await writeBundle(join(folder, 'main.js'));
  writeFileSync(join(folder, 'LICENSES.txt'), collectLicences(projectFolder, inputs));
} catch (error) {
  console.error(`cannot build: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
