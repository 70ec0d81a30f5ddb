import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findGlobalFetch, findSlowCode, findWrongHotMarks } from './call-rules.ts';
import {
  findDefaultExports,
  findLongParts,
  findModuleVariables,
  findUndocumentedExports,
} from './declaration-rules.ts';
import { findBarrels, findCycles, findMisplacedPackages, findWrongDirections } from './import-rules.ts';
import { parseSources, type Source } from './source.ts';

type Rule = (sources: readonly Source[]) => string[];
type Case = readonly [name: string, rule: Rule, files: Record<string, string>, problems: readonly string[]];

const longBody = `${'  run();\n'.repeat(60)}`;

const cases: readonly Case[] = [
  [
    'core that imports flows, proxy or main',
    findWrongDirections,
    {
      'src/core/a.ts':
        "import { b } from '../flows/b.ts';\nimport type { C } from '../proxy/c.ts';\nimport '../main.ts';\n",
      'src/main.ts': "import './flows/b.ts';\nimport './proxy/c.ts';\n",
    },
    [
      'src/core/a.ts:1 imports src/flows/b.ts: src/core/ must not',
      'src/core/a.ts:2 imports src/proxy/c.ts: src/core/ must not',
      'src/core/a.ts:3 imports src/main.ts, which nothing may import',
    ],
  ],
  [
    'flows and proxy that import each other, in every form of import',
    findWrongDirections,
    {
      'src/flows/a.ts': "import '../core/x.ts';\n\nexport { b } from '../proxy/b.ts';\n",
      'src/proxy/b.ts': "const a = await import('../flows/a.ts');\ntype A = import('../flows/a.ts').A;\n",
    },
    [
      'src/flows/a.ts:3 imports src/proxy/b.ts: src/flows/ must not',
      'src/proxy/b.ts:1 imports src/flows/a.ts: src/proxy/ must not',
      'src/proxy/b.ts:2 imports src/flows/a.ts: src/proxy/ must not',
    ],
  ],
  [
    'packages outside their place',
    findMisplacedPackages,
    {
      'src/core/config/load.ts': "import { z } from 'zod';\nimport { parse } from 'yaml';\n",
      'src/core/store-valkey-tls.ts': "import Redis from 'iovalkey';\n",
      'src/core/verify.ts': "import type { HttpRequest } from 'uWebSockets.js';\nimport { z } from 'zod/mini';\n",
      'src/flows/login.ts': "import { request } from 'undici';\nimport * as oauth from 'oauth4webapi';\n",
    },
    [
      'src/core/verify.ts:1 imports uWebSockets.js, which belongs to ^src\\/(core\\/(context|reply|app)[a-z-]*\\.ts$|proxy\\/)',
      'src/core/verify.ts:2 imports zod, which belongs to ^src\\/core\\/config\\/',
      'src/flows/login.ts:1 imports undici, which belongs to ^src\\/(core\\/outbound|cli\\/)',
    ],
  ],
  [
    'a cycle',
    findCycles,
    { 'a.ts': "import './b.ts';", 'b.ts': "import type { C } from './c.ts';", 'c.ts': "export * from './a.ts';" },
    ['a.ts:1 imports itself: a.ts -> b.ts -> c.ts -> a.ts'],
  ],
  [
    'a file that only passes on',
    findBarrels,
    { 'a.ts': "export { b } from './b.ts';\nexport * from './c.ts';\n", 'b.ts': "export { c } from './c.ts';\nc();\n" },
    ['a.ts:1 only passes on what other files export'],
  ],
  [
    'default exports in each spelling',
    findDefaultExports,
    {
      'a.ts': 'export default 1;\n',
      'b.ts': 'export default function b() {}\n',
      'c.ts': 'const c = 1;\nexport { c as default };\n',
    },
    ['a.ts:1 exports a default', 'b.ts:1 exports a default', 'c.ts:2 exports a default'],
  ],
  [
    'exports without documentation, wherever they are exported',
    findUndocumentedExports,
    {
      'a.ts':
        '/** Said. */\nexport const a = 1;\n// not a block\nexport function b() {}\ntype C = 1;\nexport type { C };\n',
      'b.ts': '/** Said once. */\nexport function a(x: 1): 1;\nexport function a(x: 2): 2;\nfunction own() {}\n',
    },
    ['a.ts:4 exports b without documentation', 'a.ts:5 exports C without documentation'],
  ],
  [
    'variables of a module',
    findModuleVariables,
    { 'a.ts': 'const a = 1;\nlet b = 2;\nexport var c = 3;\nfunction f() {\n  let d = 4;\n}\n' },
    [
      'a.ts:2 declares a variable of the module: let b = 2;',
      'a.ts:3 declares a variable of the module: export var c = 3;',
    ],
  ],
  [
    'long files and functions',
    findLongParts,
    { 'a.ts': `\nfunction a() {\n${longBody}}\n`, 'b.ts': 'x();\n'.repeat(301), 'c.ts': 'x();\n'.repeat(300) },
    ['a.ts:2 a function of 62 lines', 'b.ts:301 the file has more than 300 lines'],
  ],
  [
    'hot files without a mark, and marks without a bench',
    findWrongHotMarks,
    { 'src/core/verify.ts': 'run();', 'src/core/l1.ts': '// hot: bench/l1.ts\n', 'src/core/x.ts': '// hot: yes\n' },
    [
      'src/core/verify.ts:1 is hot and does not begin with "// hot: bench/NAME.ts"',
      'src/core/x.ts:1 is marked hot and names no bench/NAME.ts',
    ],
  ],
  [
    'slow code in hot files, except at the start',
    findSlowCode,
    {
      'cold.ts': 'async function f() {\n  await 1;\n}\n',
      'hot.ts': [
        '// hot: bench/hot.ts',
        'const parts = "a b".split(" ");',
        'function compileTable(rows: string[]) {',
        '  const all = JSON.parse("[]");',
        '  return (row: string) => row.split(",");',
        '}',
        'function find(text: string) {',
        '  const url = new URL(text);',
        '  return [...JSON.stringify(url), /x/.test(text)];',
        '}',
        'async function createLate() {',
        '  await 1;',
        '}',
      ].join('\n'),
    },
    [
      'hot.ts:5 .split( in a hot file',
      'hot.ts:8 new URL( in a hot file',
      'hot.ts:9 spread in a hot file',
      'hot.ts:9 JSON. in a hot file',
      'hot.ts:9 a regular expression in a hot file',
      'hot.ts:11 async in a hot file',
      'hot.ts:12 async in a hot file',
    ],
  ],
  [
    'the global fetch, called or passed on',
    findGlobalFetch,
    {
      'a.ts':
        "await fetch('x');\nrun({ customFetch: fetch });\nrun({ fetch });\nglobalThis.fetch('x');\nrun(x.fetch);\n",
      'b.ts': "import { fetch } from './own.ts';\nawait fetch('x');\ntype F = typeof fetch;\nrun({ fetch: own });\n",
      'c.ts':
        "import { fetch as own } from './own.ts';\nawait own('x');\ntype F = typeof fetch;\nrun({ fetch: own });\n",
    },
    [
      'a.ts:1 uses the global fetch',
      'a.ts:2 uses the global fetch',
      'a.ts:3 uses the global fetch',
      'a.ts:4 uses the global fetch',
    ],
  ],
];

describe('structure rules find', () => {
  for (const [name, rule, files, problems] of cases) {
    test(name, () => assert.deepEqual(rule(parseSources(files)), problems));
  }
});
