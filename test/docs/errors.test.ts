import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { compileErrorPage } from '../../scripts/error-docs/page.ts';
import { REMEDIES } from '../../scripts/error-docs/remedies.ts';
import { ERRORS } from '../../src/core/errors.ts';
import { PRODUCERS } from '../e2e/error-producers.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8');
const CODES = Object.keys(ERRORS);

describe('docs/errors.md', () => {
  test('is what the table says now', () => {
    assert.equal(PAGE, compileErrorPage(), 'run node scripts/generate-error-docs.ts');
  });

  test('has one row and one section for each code, in the order of the table', () => {
    assert.deepEqual(
      [...PAGE.matchAll(/^## (\w+)$/gm)].map(([, code]) => code),
      CODES,
    );
    assert.deepEqual(
      [...PAGE.matchAll(/^\| \[(\w+)\]\(#(\w+)\) \| (\d{3}) \|/gm)].map(([, code]) => code),
      CODES,
    );
    for (const [, code = '', anchor, status] of PAGE.matchAll(/^\| \[(\w+)\]\(#(\w+)\) \| (\d{3}) \|/gm)) {
      assert.deepEqual([anchor, Number(status)], [code, ERRORS[code as keyof typeof ERRORS].status]);
    }
  });

  test('says of a code that this version does not produce it exactly where the end-to-end tests cannot', () => {
    const reserved = Object.entries(REMEDIES)
      .filter(([, { isReserved }]) => isReserved)
      .map(([code]) => code);
    assert.deepEqual(
      reserved,
      // A defect of ours is never caused from outside, and yet may happen.
      CODES.filter((code) => !Object.hasOwn(PRODUCERS, code) && code !== 'internal_error'),
    );
  });

  test('gives every code a symptom, a cause and a fix in whole sentences', () => {
    for (const [code, { symptom, cause, fix }] of Object.entries(REMEDIES)) {
      for (const text of [symptom, cause, fix]) assert.match(text, /^[^\n|]{4,}\.$/, code);
    }
  });
});
