import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { CONFIG_FILES } from '../../../scripts/config-docs/files.ts';
import { definitionOf } from '../../../src/core/config/schema/walk.ts';
import { IDPS, problemLines, ROUTES, SETTINGS, settings } from './support.ts';

const LINE = /^(?:settings|idps|routes|pdp)\.yaml:[1-9]\d*:[1-9]\d*(?:: | .+: ).+, expected .+, .+$/su;

function assertReadable(lines: readonly string[]): void {
  for (const line of lines) assert.match(line, LINE);
}

/** YAML-like text around the keys that exist, so that it gets past the first checks. */
const keys = CONFIG_FILES.flatMap(({ schema }) => Object.keys(schema.shape));
const snippet = fc.oneof(
  fc.constantFrom(
    ...keys,
    ': ',
    '\n',
    '\n  ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    '&a ',
    '*a',
    '${',
    '}',
    '!!str ',
    '#',
    '|\n',
    '__proto__: 1\n',
  ),
  fc.constantFrom(
    'constructor',
    '<<',
    '30s',
    '16KiB',
    '1',
    'true',
    'null',
    'https://app.example.com',
    '${X:-1}',
    '/a/*',
    '\t',
    '\0',
    '\u{1f600}',
  ),
  fc.string({ maxLength: 8 }),
);
const text = fc.array(snippet, { maxLength: 40 }).map((parts) => parts.join(''));

/** Any data in the place of any section: JSON is YAML. */
const section = fc.record({ key: fc.constantFrom(...keys), value: fc.jsonValue({ maxDepth: 3 }) });

describe('whatever the files hold', () => {
  test('random text is either accepted or refused in readable lines, never anything else', () => {
    fc.assert(
      fc.property(text, text, (first, second) => {
        assertReadable(
          problemLines({ settings: settings(first), idps: IDPS + second, routes: ROUTES + first, pdp: second }),
        );
        assertReadable(problemLines({ settings: first, idps: second, routes: second }));
      }),
      { numRuns: 150 },
    );
  });

  test('random data in the place of every section is too', () => {
    fc.assert(
      fc.property(fc.array(section, { maxLength: 6 }), (sections) => {
        const data = JSON.stringify(
          Object.fromEntries([['version', 1], ...sections.map(({ key, value }) => [key, value])]),
        );
        assertReadable(problemLines({ settings: data, idps: data, routes: data, pdp: data }));
      }),
      { numRuns: 150 },
    );
  });

  test('a wrong type in the place of any key gets a sentence of its own', () => {
    const wrong = [{}, [], 'no such value', 1e9, true, null, [[]], { a: 1 }];
    for (const { name, schema } of CONFIG_FILES) {
      const file = name.replace('.yaml', '');
      for (const key of Object.keys(definitionOf(schema).shape ?? {})) {
        for (const value of wrong)
          assertReadable(problemLines({ [file]: JSON.stringify({ version: 1, [key]: value }) }));
      }
    }
  });

  test('no secret is ever printed, wherever it was put', () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9+/=:@ %!?*-]{10,60}$/).map((inner) => `Zq7${inner}7qZ`);
    const template = (value: string): Record<string, string> => ({
      settings: `${SETTINGS}    - {id: k2, secret: ${value}}
verify: {shared_secret: ${value}, on_fail: "\${S}"}
store: {kind: redis, redis: {url: ${value}, password: ${value}, key_prefix: "\${S}", tls: {ca_file: "\${S}"}}}
session: {idle: "\${S}", cookie: {name: "\${S}"}}
listen: {public: {port: "\${S}"}}
trusted_proxies: "\${S}"
insecure_http: "\${S}"
limits: {connections: "\${S}", body_bytes: "\${S}"}
\${S}: 1
`,
      idps: IDPS.replace('https://id.example.com', '"${S}"').replace(
        '{secret: ',
        `{method: none, kid: "\${S}", secret: ${value}, x: `,
      ),
      routes: `version: 1\nservices: {a: {urls: ["\${S}"]}}\nroutes: [{id: "\${S}", paths: ["\${S}"], target_service: "\${S}"}]\n`,
      pdp: `version: 1\npoints: {main: {url: "\${S}", bearer_token: ${value}}}\n`,
    });
    fc.assert(
      fc.property(secret, (value) => {
        const environment = { S: value };
        for (const written of [JSON.stringify(value), '"${S}"', JSON.stringify(value).slice(0, -1)]) {
          const printed = problemLines({ ...template(written), environment });
          assert.ok(printed.length > 0);
          assert.ok(!printed.join('\n').includes(value.slice(0, 8)), printed.join('\n'));
        }
      }),
      { numRuns: 60 },
    );
  });
});
