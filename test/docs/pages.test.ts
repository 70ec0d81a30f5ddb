// The documentation against the project: links, commands, addresses, files, metrics, configuration.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { projectFolder } from '../../scripts/parts.js';
import { createMetrics } from '../../src/core/metrics.ts';
import { main } from '../../src/main.ts';
import { WorkerMetrics } from '../../src/worker-metrics.ts';
import { codeBlocks, listPages, proseOf, readProject } from '../support/docs.ts';

const README = readProject('README.md');
const OPERATIONS = readProject('docs/operations.md');
const SECURITY = readProject('docs/security.md');

/** GitHub's anchors of the headings of a page. */
function anchorsOf(page: string): ReadonlySet<string> {
  const headings = [...proseOf(readProject(page)).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  const anchor = (text: string): string =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
  return new Set(headings.map(anchor));
}

/** Cells of the first column of a table that begins with this header row, backticked texts taken out. */
function namesInTable(markdown: string, header: string): readonly string[] {
  const rows = markdown.slice(markdown.indexOf(header)).split('\n\n')[0]?.split('\n').slice(2) ?? [];
  const names = rows.flatMap((row) =>
    [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  );
  assert.ok(markdown.includes(header) && names.length > 0, header);
  return names;
}

describe('links', () => {
  for (const page of listPages()) {
    test(`${page} leads to files and headings that exist`, () => {
      const prose = proseOf(readProject(page));
      for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? page : normalize(join(dirname(page), path));
        assert.ok(existsSync(join(projectFolder, file)), `${page}: ${target}`);
        if (anchor !== undefined) assert.ok(anchorsOf(file).has(anchor), `${page}: no heading for ${target}`);
      }
    });

    test(`${page} names only files that exist`, () => {
      for (const [, path = ''] of proseOf(readProject(page)).matchAll(
        /`((?:src|test|docs|scripts|config)\/[\w./-]+\.\w+)`/g,
      )) {
        assert.ok(existsSync(join(projectFolder, path)), `${page}: ${path}`);
      }
    });
  }
});

describe('ARCHITECTURE.md', () => {
  test('lists every file of src once, and no other', () => {
    const rooms = /^## Rooms$([\s\S]*?)^## /m.exec(readProject('docs/ARCHITECTURE.md'))?.[1] ?? '';
    const listed = [...rooms.matchAll(/^\| `(src\/[^`]+)` \|/gm)].map(([, path = '']) => path).sort();
    const missing = listSources().filter((path) => !listed.includes(path));
    const gone = listed.filter((path) => !existsSync(join(projectFolder, path)));
    assert.deepEqual({ missing, gone }, { missing: [], gone: [] });
    assert.equal(listed.length, new Set(listed).size);
  });

  test('gives a reason for every dependency', () => {
    const { dependencies, devDependencies } = JSON.parse(readProject('package.json')) as Record<string, object>;
    const section = /^## Dependencies$([\s\S]*?)^## /m.exec(readProject('docs/ARCHITECTURE.md'))?.[1] ?? '';
    assert.deepEqual(
      [...namesOf(section, /^\| ([\w.@/-]+) \|/gm)].filter((name) => name !== 'package').sort(),
      Object.keys(dependencies ?? {}).sort(),
    );
    for (const name of Object.keys(devDependencies ?? {})) assert.ok(section.includes(`\`${name}\``), name);
  });
});

describe('commands', () => {
  test('the README has exactly the commands of `sallyport help`, with their options', async () => {
    const help = await helpText();
    const real = [...help.matchAll(/^ {2}([a-z]+)\b(?: +(\[--config DIR\]))?/gm)].map(([, name, option]) =>
      option === undefined ? name : `${name} ${option}`,
    );
    assert.deepEqual(
      namesInTable(README, '| command | what it does | exit code |').filter((name) => !name.includes('file:')),
      real,
    );
  });

  test('every npm script that the pages name exists', () => {
    const { scripts } = JSON.parse(readProject('package.json')) as { scripts: Record<string, string> };
    for (const page of listPages()) {
      for (const [, name = ''] of readProject(page).matchAll(/npm (?:run ([\w:]+)|(?:test|start)\b)/g)) {
        if (name !== '') assert.ok(Object.hasOwn(scripts, name), `${page}: npm run ${name}`);
      }
    }
  });

  test('every `sallyport.js` command in a block exists', async () => {
    const help = await helpText();
    for (const page of listPages()) {
      for (const { text } of codeBlocks(readProject(page))) {
        for (const [, name = ''] of text.matchAll(/sallyport\.js (\w+)/g))
          assert.match(help, new RegExp(`^  ${name}\\b`, 'm'), page);
      }
    }
  });
});

describe('operations.md', () => {
  test('lists exactly the metrics that are exposed', async () => {
    const text = await createMetrics({
      storeReachable: () => true,
      outboundSockets: () => 0,
      storeReads: () => ({ lookups: 0, writes: 0, refused: 0 }),
      storeUnreplicated: () => 0,
      l1: () => undefined,
    }).exposition();
    const real = [...namesOf(text, /^# TYPE (\w+) /gm)].sort();
    const documented = namesInTable(OPERATIONS, '| metric | labels | meaning |');
    assert.deepEqual([...documented].sort(), real);
  });

  test('lists exactly the metrics that a supervisor adds', async () => {
    const reloads = { done: 0, refused: 0 };
    const metrics = new WorkerMetrics({ workers: () => ({ configured: 0, up: 0 }), restarts: () => 0, reloads });
    const real = [...namesOf(await metrics.exposition(), /^# TYPE (\w+) /gm)].sort();
    const documented = namesInTable(OPERATIONS, '| metric of the supervisor | labels | meaning |');
    assert.deepEqual([...documented].sort(), real);
  });

  test('lists exactly the audit events, and fields that they have', () => {
    const audit = readProject('src/core/audit.ts');
    const header = '| `event` | fields | when |';
    assert.deepEqual([...namesInTable(OPERATIONS, header)].sort(), [...namesOf(audit, /\| '(\w+)'/g)].sort());
    const fields = new Set(namesOf(audit, /readonly (\w+)\?:/g));
    const rows = OPERATIONS.slice(OPERATIONS.indexOf(header)).split('\n\n')[0]?.split('\n').slice(2) ?? [];
    for (const row of rows) {
      const [, event = '', named = ''] = row.split('|');
      for (const [, name = ''] of named.replaceAll(/as `\w+`|: .*/g, '').matchAll(/`(\w+)`/g)) {
        if (!named.includes('without')) assert.ok(fields.has(name), `${event}: ${name}`);
      }
    }
  });

  test('lists only log messages that the program writes', () => {
    const sources = globSync('src/**/*.ts', { cwd: projectFolder })
      .map((path) => readProject(path))
      .join('\n');
    const messages = [...namesInTable(OPERATIONS, '| line | fields | when |')].filter((name) => name !== 'msg');
    for (const message of messages) assert.ok(sources.includes(`'${message}'`), message);
  });

  test('gives the store the commands that the contract test gives it', () => {
    const contract = readProject('test/contract/session-store.test.ts');
    const list = /const STORE_COMMANDS =\s*([\s\S]*?);/.exec(contract)?.[1] ?? '';
    const tested = [...namesOf(list, /(\+[\w|]+)/g)];
    const block = codeBlocks(OPERATIONS)
      .find(({ language }) => language === 'text')
      ?.text.trim()
      .split(' ');
    assert.deepEqual(block, tested);
  });
});

describe('security.md', () => {
  test('the policy cases that it explains exist and are of tier policy', () => {
    const explained = [...namesOf(SECURITY, /^\| ([A-Z]{2}-\d{3}) \|/gm), 'FH-029'];
    const all = globSync('test/fixtures/attacks/*.json', { cwd: projectFolder }).flatMap((file) => {
      return JSON.parse(readProject(file)) as { id: string; tier: string }[];
    });
    for (const id of explained) assert.equal(all.find((attack) => attack.id === id)?.tier, 'policy', id);
  });
});

describe('configuration named in the README', () => {
  test('every key and its default are those of the manual', () => {
    const manual = new Map(
      [...readProject('docs/config.md').matchAll(/^\| `([^`]+)` \| [^|]*\| ([^|]*)\|/gm)].map(
        ([, key = '', value = '']) => [key, value.trim()],
      ),
    );
    const section = README.slice(README.indexOf('\n## Configuration'));
    for (const key of namesInTable(section, '| key | default | meaning |'))
      assert.ok(
        [...manual.keys()].some((name) => name === key || name.startsWith(`${key}.`)),
        key,
      );
    for (const row of section.split('\n').filter((line) => /^\| `[\w.]+` \| `[^`]+` \|/.test(line))) {
      const [, key = '', value = ''] = /^\| `([^`]+)` \| `([^`]+)` \|/.exec(row) ?? [];
      assert.equal(manual.get(key)?.replace(/^`|`$/g, '').replace(/^"|"$/g, ''), value, key);
    }
  });

  test('the settings table names the variables of the shipped and the example configuration', () => {
    const files = [
      ...globSync('config/*.yaml', { cwd: projectFolder }),
      ...globSync('docs/examples/config/*.yaml', { cwd: projectFolder }),
    ];
    const used = new Set(files.flatMap((file) => [...namesOf(readProject(file), /\$\{([A-Z_]+)/g)]));
    const named = namesInTable(README, '| setting | meaning |').filter((name) => /^[A-Z_]+$/.test(name));
    assert.equal(named.length, 8);
    for (const name of named) assert.ok(used.has(name), name);
  });

  for (const page of listPages()) {
    test(`every YAML block of ${page} can be parsed`, () => {
      for (const { language, text } of codeBlocks(readProject(page))) {
        if (language === 'yaml') assert.equal(typeof parse(text, { strict: true }), 'object', text);
      }
    });
  }
});

/** The files of src that belong to the project: those that git knows; in an unpacked archive, all of them. */
function listSources(): readonly string[] {
  const inGit = existsSync(join(projectFolder, '.git'));
  if (!inGit) return globSync('src/**/*.*', { cwd: projectFolder });
  const known = execFileSync('git', ['ls-files', 'src'], { cwd: projectFolder, encoding: 'utf8' });
  return known.split('\n').filter((path) => path !== '' && existsSync(join(projectFolder, path)));
}

function* namesOf(text: string, pattern: RegExp): Generator<string> {
  for (const [, name = ''] of text.matchAll(pattern)) yield name;
}

async function helpText(): Promise<string> {
  const write = process.stdout.write;
  let text = '';
  process.stdout.write = (chunk: string | Uint8Array) => {
    text += String(chunk);
    return true;
  };
  try {
    await main(['help']);
  } finally {
    process.stdout.write = write;
  }
  return text;
}
