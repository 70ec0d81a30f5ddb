// docs/providers.md says what is tested with which provider: every test that it names must be there.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { projectFolder } from '../../scripts/parts.js';
import { readProject } from '../support/docs.ts';

const PAGE = readProject('docs/providers.md');
const HEADER = '| feature | Keycloak | `oidc-provider` |';

/** Cells of the matrix with a test in them: feature, file, words of the test's name. */
function namedTests(): readonly { readonly feature: string; readonly file: string; readonly words: string }[] {
  const rows = PAGE.slice(PAGE.indexOf(HEADER)).split('\n\n')[0]?.split('\n').slice(2) ?? [];
  return rows.flatMap((row) => {
    const [, feature = '', ...cells] = row.split('|').map((cell) => cell.trim());
    return cells.flatMap((cell) =>
      [...cell.matchAll(/`(test\/[^`]+)`: ([^(|]+)/g)].map(([, file = '', words = '']) => ({
        feature,
        file,
        words: words.trim(),
      })),
    );
  });
}

describe('the table of providers and tests', () => {
  test('names a test with each provider for what issue and promise ask for', () => {
    const named = namedTests();
    assert.ok(named.length >= 20, `only ${named.length} tests are named`);
    for (const feature of [
      'sign-in',
      'refresh',
      'RP-initiated logout',
      'back-channel logout',
      'PAR',
      'DPoP',
      'direct access grant',
    ]) {
      const files = named.filter((entry) => entry.feature.startsWith(feature)).map(({ file }) => file);
      assert.ok(
        files.some((file) => file.startsWith('test/keycloak/')) && files.some((file) => file.startsWith('test/e2e/')),
        feature,
      );
    }
  });

  for (const { feature, file, words } of namedTests()) {
    test(`${feature}: ${file} has "${words}"`, () => {
      assert.ok(existsSync(join(projectFolder, file)), file);
      const names = [...readProject(file).matchAll(/\b(?:test|describe)\(\s*(['`])(.*?)\1,/gs)].map(
        ([, , name]) => name,
      );
      assert.ok(
        names.some((name) => name?.includes(words)),
        `${file} has no test with "${words}" in its name`,
      );
    });
  }

  test('every suite with Keycloak is in it', () => {
    const suites = [...readProject('test/keycloak/keycloak.test.ts').matchAll(/from '\.\/(suites\/[\w-]+\.ts)'/g)];
    const files = new Set(namedTests().map(({ file }) => file));
    assert.ok(suites.length > 0);
    for (const [, suite] of suites) assert.ok(files.has(`test/keycloak/${suite}`), `test/keycloak/${suite}`);
  });
});
