// Writes docs/errors.md from the table of error codes. `--check` writes nothing and fails if the file differs.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileErrorPage } from './error-docs/page.ts';

const path = join(import.meta.dirname, '../docs/errors.md');
const text = compileErrorPage();

if (!process.argv.includes('--check')) {
  writeFileSync(path, text);
} else if (readFileSync(path, 'utf8') !== text) {
  process.exitCode = 1;
  process.stderr.write('docs/errors.md is not current: run node scripts/generate-error-docs.ts\n');
}
