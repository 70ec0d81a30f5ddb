// Writes docs/config.md and config/schemas/*.json from the schema. `--check` writes nothing and fails if they differ.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { compileEditorSchemas } from './config-docs/editor-schemas.ts';
import { compileConfigManual } from './config-docs/manual.ts';

const root = join(import.meta.dirname, '..');
const outputs = { 'docs/config.md': compileConfigManual(), ...compileEditorSchemas() };
const check = process.argv.includes('--check');

for (const [name, text] of Object.entries(outputs)) {
  const path = join(root, name);
  if (!check) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  } else if (readFileSync(path, 'utf8') !== text) {
    process.exitCode = 1;
    process.stderr.write(`${name} is not current: run node scripts/generate-config-docs.ts\n`);
  }
}
