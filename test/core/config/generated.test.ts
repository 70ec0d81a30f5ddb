import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { z } from 'zod';
import { compileEditorSchemas } from '../../../scripts/config-docs/editor-schemas.ts';
import { CONFIG_FILES } from '../../../scripts/config-docs/files.ts';
import { compileConfigManual } from '../../../scripts/config-docs/manual.ts';
import { NOT_AVAILABLE } from '../../../src/core/config/availability.ts';
import { definitionOf, infoOf, optionsOf } from '../../../src/core/config/schema/walk.ts';
import { problemLines } from './support.ts';

const ROOT = join(import.meta.dirname, '../../..');
const read = (name: string): string => readFileSync(join(ROOT, name), 'utf8');

describe('what is generated from the schema', () => {
  test('docs/config.md is current (node scripts/generate-config-docs.ts)', () => {
    assert.equal(read('docs/config.md'), compileConfigManual());
  });

  for (const [name, text] of Object.entries(compileEditorSchemas())) {
    test(`${name} is current`, () => assert.equal(read(name), text));
  }

  test('every key of every file has a meaning', () => {
    const silent: string[] = [];
    const visit = (schema: z.ZodType, path: string): void => {
      for (const option of optionsOf(schema)) {
        const { shape, valueType, element } = definitionOf(option);
        for (const [key, child] of Object.entries(shape ?? {})) {
          if ((infoOf(child)?.meaning ?? '') === '') silent.push(`${path}.${key}`);
          visit(child, `${path}.${key}`);
        }
        if (valueType !== undefined) visit(valueType, `${path}.*`);
        if (element !== undefined) visit(element, `${path}[]`);
      }
    };
    for (const { name, schema } of CONFIG_FILES) visit(schema, name);
    assert.deepEqual(silent, []);
  });

  test('every refusal names a key that the schema knows', () => {
    const below = (schema: z.ZodType, step: string): readonly z.ZodType[] => {
      return optionsOf(schema).flatMap((option) => {
        const { shape = {}, valueType, element } = definitionOf(option);
        const named =
          step === '*' ? Object.values(shape) : Object.hasOwn(shape, step) ? [shape[step] ?? []].flat() : [];
        return [...named, ...(step === '*' ? [valueType, element] : [valueType])].filter(
          (found) => found !== undefined,
        );
      });
    };
    for (const { name, schema } of CONFIG_FILES) {
      for (const rule of NOT_AVAILABLE[name] ?? []) {
        const found = rule.path
          .split('.')
          .reduce<readonly z.ZodType[]>((at, step) => at.flatMap((each) => below(each, step)), [schema]);
        assert.ok(found.length > 0, `${name} ${rule.path}`);
      }
    }
  });

  for (const { name, example } of CONFIG_FILES) {
    if (example === undefined) continue;
    test(`the example of ${name} is a usable one`, () => {
      assert.deepEqual(problemLines({ [name.replace('.yaml', '')]: example }), []);
    });
  }
});
