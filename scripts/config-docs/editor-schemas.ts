import { z } from 'zod';
import { infoOf } from '../../src/core/config/schema/walk.ts';
import { CONFIG_FILES } from './files.ts';

type Json = { [key: string]: unknown };

/** What editors must also accept wherever a number, word or list may come from the environment. */
const REFERENCE: Json = { type: 'string', pattern: '\\$\\{' };

/** JSON Schemas (draft 2020-12) by path in the repository, as text. */
export function compileEditorSchemas(): Record<string, string> {
  const entries = CONFIG_FILES.map(({ name, schema }) => {
    const json = z.toJSONSchema(schema, {
      io: 'input',
      override: (context) => refine(context.zodSchema as unknown as z.ZodType, context.jsonSchema),
    });
    return [`config/schemas/${name.replace('.yaml', '.json')}`, `${printJson(json)}\n`] as const;
  });
  return Object.fromEntries(entries);
}

/** Add the meaning of a key, and the texts that the loader turns into numbers, words and lists. */
function refine(schema: z.ZodType, json: Json): void {
  const info = infoOf(schema);
  if (info !== undefined && info.meaning !== '') json['description'] = info.meaning;
  const { separator } = info ?? {};
  const widened = json['type'] === 'array' && separator !== undefined ? { type: 'string' } : REFERENCE;
  const scalar =
    json['enum'] !== undefined ||
    json['const'] !== undefined ||
    ['integer', 'number', 'boolean'].includes(String(json['type']));
  if (!scalar && (json['type'] !== 'array' || separator === undefined)) return;
  const { description, default: fallback, ...exact } = json;
  for (const key of Object.keys(json)) delete json[key];
  Object.assign(
    json,
    description === undefined ? {} : { description },
    fallback === undefined ? {} : { default: fallback },
    {
      anyOf: [exact, widened],
    },
  );
}

const LINE_CHARS_MAX = 120;

/** JSON as the formatter of this repository prints it: lists of scalars on one line where they fit. */
function printJson(json: unknown): string {
  const list = /^(.*)\[\n((?:\s+(?:"(?:[^"\\]|\\.)*"|[\w.-]+),?\n)+)\s+\](,?)$/gm;
  return JSON.stringify(json, undefined, 2).replace(list, (whole, before: string, items: string, comma: string) => {
    const line = `${before}[${items.trim().replace(/,\n\s+/g, ', ')}]${comma}`;
    return line.length <= LINE_CHARS_MAX ? line : whole;
  });
}
