import type { z } from 'zod';
import { NOT_AVAILABLE } from '../../src/core/config/availability.ts';
import { definitionOf, infoOf, optionsOf } from '../../src/core/config/schema/walk.ts';
import { CONFIG_FILES } from './files.ts';

const HEAD = `# Configuration

Generated from the schema by \`node scripts/generate-config-docs.ts\`; do not edit.

A directory (\`--config\`, default \`./config\`) holds the files below. \`sallyport check --config DIR\` checks them and prints
every problem as \`file:line:column path: problem, what was expected, how to fix\` (exit code 78).

- **References.** \`\${NAME}\`, \`\${NAME:-default}\` (unset or empty takes the default) and \`\${file:/path}\` (the final newline
  is dropped) are replaced in values, never in keys, and never again in what they stand for. \`$\${\` is a literal \`\${\`. Put
  quotes around them inside \`{…}\` and \`[…]\`. A name that is not set stops the start. A refused value
  is printed as its reference, a literal secret as \`***\`.
- **Lists** may also be one text: commas separate words, origins and addresses, blanks separate scopes.
- **Durations** have a unit: \`ms\`, \`s\`, \`m\`, \`h\`, \`d\`. **Sizes** too: \`B\`, \`KB\`, \`MB\`, \`GB\`, \`KiB\`, \`MiB\`, \`GiB\`.
- **Not yet** marks keys that are checked but whose feature this version does not have: any value, or any value but the
  one named, stops the start.
- \`<name>\` stands for a name of your choice, \`[]\` for an item of a list. Certificates (\`*_file\`) may be named relative to
  the directory.
`;

/** docs/config.md: every key with type, default, meaning and availability. */
export function compileConfigManual(): string {
  const files = CONFIG_FILES.map(({ name, schema, about, example }) => {
    const rows = rowsOf(name, schema, '', []);
    const shown = example === undefined ? '' : `\`\`\`yaml\n${example}\`\`\`\n\n`;
    return `\n## ${name}\n\n${about}\n\n${shown}| key | type | default | meaning | available |\n|---|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  return `${HEAD}${files.join('')}`;
}

function rowsOf(file: string, schema: z.ZodType, path: string, steps: readonly string[]): string[] {
  return optionsOf(schema).flatMap((option) => {
    const { shape, valueType, element } = definitionOf(option);
    if (shape !== undefined) {
      return Object.entries(shape).flatMap(([key, child]) => {
        return rowsWith(file, child, path === '' ? key : `${path}.${key}`, [...steps, key]);
      });
    }
    if (valueType !== undefined) return rowsWith(file, valueType, `${path}.<name>`, [...steps, '*']);
    const nested = element !== undefined && optionsOf(element).some((item) => definitionOf(item).type === 'object');
    return nested ? rowsOf(file, element, `${path}[]`, [...steps, '*']) : [];
  });
}

/** The row of a key and those below it; a map has a row of its own only if there is something to say about it. */
function rowsWith(file: string, schema: z.ZodType, path: string, steps: readonly string[]): string[] {
  const below = rowsOf(file, schema, path, steps);
  const unavailable = availability(file, steps);
  const fallback = defaultOf(schema);
  const isPlainMap = optionsOf(schema).length === 1 && !fallback.includes(':');
  if (below.length > 0 && isPlainMap && unavailable === undefined) return below;
  const info = infoOf(schema);
  const meaning = (info?.meaning ?? '').replaceAll('<', '&lt;');
  const row = `| \`${path}\` | ${info?.type ?? ''} | ${fallback} | ${meaning} | ${unavailable ?? 'yes'} |`;
  return [row.replaceAll('\n', ' '), ...below];
}

function defaultOf(schema: z.ZodType): string {
  const { type, defaultValue, innerType } = definitionOf(schema);
  if (type === 'default') return `\`${JSON.stringify(defaultValue).replaceAll('|', '\\|')}\``;
  if (type === 'optional' || type === 'prefault') return '';
  return innerType === undefined ? '**required**' : defaultOf(innerType);
}

/** What the list of missing features says of a key, of the map it lies in, or of the switch beside it. */
function availability(file: string, steps: readonly string[]): string | undefined {
  const rules = (NOT_AVAILABLE[file] ?? []).map((rule) => ({ ...rule, parts: rule.path.split('.') }));
  const exact = rules.find(({ parts }) => matches(parts, steps) || matches(parts, [...steps, '*item']));
  if (exact !== undefined) {
    return exact.expected === undefined
      ? `not yet (${exact.feature})`
      : `only ${exact.expected} (${exact.feature}: not yet)`;
  }
  const isInside = rules.some(({ parts }) => {
    const map = parts.at(-1) === 'enabled' ? parts.slice(0, -1) : parts;
    return steps.length > map.length && matches(map, steps.slice(0, map.length));
  });
  return isInside ? 'not yet' : undefined;
}

function matches(pattern: readonly string[], steps: readonly string[]): boolean {
  return pattern.length === steps.length && pattern.every((part, index) => part === '*' || part === steps[index]);
}
