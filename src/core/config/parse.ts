import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLError,
} from 'yaml';
import { type Interpolation, interpolate, type References } from './interpolate.ts';
import { formatPath, type Path, type Report, say } from './problem.ts';
import type { Place, Tree } from './tree.ts';

/** Nodes of one file with aliases followed; stops "billion laughs". */
const NODES_MAX = 20_000;
const DEPTH_MAX = 24;

type Build = {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
  readonly references: References;
  readonly report: Report;
  nodes: number;
};

/**
 * Parse one YAML 1.2 file (core schema, unique keys, no custom tags, one document, aliases bounded) and replace
 * `${…}` in its scalars. Problems go to the report; undefined if no usable tree is left.
 */
export function parseFile(file: string, text: string, references: References, report: Report): Tree | undefined {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    strict: true,
    uniqueKeys: true,
    stringKeys: true,
    merge: false,
    resolveKnownTags: false,
    prettyErrors: false,
    lineCounter: lines,
  });
  const syntax = reportSyntax(file, text, document, lines, report);
  if (syntax || document.contents === null) {
    if (!syntax)
      add(report, file, { line: 1, column: 1 }, [], say('the file is empty', 'a map', 'write at least "version: 1"'));
    return undefined;
  }
  const build: Build = { file, document, lines, references, report, nodes: 0 };
  const tree = buildTree(build, document.contents as Node, [], 0);
  if (tree.kind === 'map') return tree;
  add(report, file, tree.place, [], say('the file is not a map', 'keys with values', 'write at least "version: 1"'));
  return undefined;
}

/** Duplicate keys and tags are all reported; of errors of form only the first, because the others follow from it. */
function reportSyntax(file: string, text: string, document: Document, lines: LineCounter, report: Report): boolean {
  let syntax = false;
  for (const error of [...document.errors, ...document.warnings]) {
    const repeated = error.code === 'DUPLICATE_KEY' || error.code === 'TAG_RESOLVE_FAILED';
    if (!repeated && syntax) continue;
    syntax ||= !repeated;
    add(report, file, placeAt(lines, error.pos[0]), [], describe(error, text));
  }
  if (document.directives?.yaml.explicit && document.directives.yaml.version !== '1.2') {
    add(
      report,
      file,
      { line: 1, column: 1 },
      [],
      say('another YAML version is asked for', 'YAML 1.2', 'remove the %YAML line'),
    );
  }
  return syntax;
}

/** Our own words: the parser's messages quote the source, and the source may hold a secret. */
function describe(error: YAMLError, text: string): string {
  const [at] = error.pos;
  const aroundReference = /\$\{/.test(text.slice(Math.max(0, at - 1), at + 2));
  if (aroundReference) {
    return say('not valid YAML: "${…}" stands unquoted inside {…} or […]', 'quotes around it', 'write "${NAME}"');
  }
  switch (error.code) {
    case 'DUPLICATE_KEY':
      return say('the key is there twice', 'each key once', 'remove one of the two');
    case 'TAG_RESOLVE_FAILED':
      return say('a custom tag is used', 'plain YAML', 'remove the "!…"');
    case 'MULTIPLE_DOCS':
      return say('a second document begins', 'one document', 'remove the "---"');
    case 'TAB_AS_INDENT':
      return say('not valid YAML: a tab indents the line', 'blanks', 'replace the tab by blanks');
    case 'NON_STRING_KEY':
      return say('not valid YAML: the key is not text', 'text before the colon', 'correct the key');
    case 'BAD_INDENT':
      return say(
        'not valid YAML: the indentation does not fit',
        'items of one level in one column',
        'correct the blanks at the start of the line',
      );
    case 'BAD_DQ_ESCAPE':
      return say(
        'not valid YAML: an unknown escape in double quotes',
        'a known one such as \\\\ or \\n',
        "double the backslash, or use '…'",
      );
    case 'BAD_SCALAR_START':
      return say('not valid YAML: the text starts with a reserved character', 'quotes around it', 'write it in quotes');
    case 'BLOCK_AS_IMPLICIT_KEY':
      return say('not valid YAML: a second ": " on one line', 'one key and one value', 'put the value in quotes');
    case 'MISSING_CHAR':
      return say(
        'not valid YAML: a closing or separating character is missing',
        'a closed quote or bracket, or a comma or colon',
        'add it',
      );
    default:
      return say('not valid YAML here', '"key: value" lines', 'check quotes, brackets and indentation');
  }
}

function buildTree(build: Build, node: Node, path: Path, depth: number): Tree {
  build.nodes += 1;
  const place = placeAt(build.lines, node.range?.[0] ?? 0);
  if (build.nodes > NODES_MAX || depth > DEPTH_MAX) {
    if (build.nodes <= NODES_MAX || build.nodes === NODES_MAX + 1) {
      const fix = 'shorten the file, or use fewer aliases';
      add(
        build.report,
        build.file,
        place,
        [],
        say('the file is too large or too deep', `at most ${NODES_MAX} values, ${DEPTH_MAX} deep`, fix),
      );
      build.nodes = NODES_MAX + 2;
    }
    return { kind: 'scalar', place, value: null, ...LITERAL, broken: true };
  }
  if (isAlias(node)) {
    const target = node.resolve(build.document);
    if (target !== undefined) return buildTree(build, target, path, depth + 1);
    add(
      build.report,
      build.file,
      place,
      path,
      say('the alias names no anchor above it', '*name of an earlier &name', 'define the anchor first'),
    );
    return { kind: 'scalar', place, value: null, ...LITERAL, broken: true };
  }
  if (isMap(node)) return buildMap(build, node, path, depth, place);
  if (isSeq(node)) return buildList(build, node, path, depth, place);
  return buildScalar(build, isScalar(node) ? node.value : null, path, place);
}

function buildMap(build: Build, node: Node & { items: unknown[] }, path: Path, depth: number, place: Place): Tree {
  const entries = new Map<string, { keyPlace: Place; value: Tree }>();
  for (const { key, value } of node.items as { key: unknown; value: Node | null }[]) {
    const name = isScalar(key) ? String(key.value) : String(key);
    const keyPlace = isScalar(key) && key.range ? placeAt(build.lines, key.range[0]) : place;
    const tree =
      value === null
        ? buildScalar(build, null, [...path, name], keyPlace)
        : buildTree(build, value, [...path, name], depth + 1);
    entries.set(name, { keyPlace, value: tree });
  }
  return { kind: 'map', place, entries };
}

function buildList(build: Build, node: Node & { items: unknown[] }, path: Path, depth: number, place: Place): Tree {
  const items: Tree[] = [];
  for (const [index, item] of (node.items as (Node | null)[]).entries()) {
    const inner = [...path, index];
    const tree = item === null ? buildScalar(build, null, inner, place) : buildTree(build, item, inner, depth + 1);
    items.push(tree);
  }
  return { kind: 'list', place, items };
}

const LITERAL: Omit<Interpolation, 'text' | 'problems'> = { expressions: [], pure: false, hasDefault: false };

function buildScalar(build: Build, value: unknown, path: Path, place: Place): Tree {
  if (typeof value !== 'string') {
    const plain = typeof value === 'number' || typeof value === 'boolean' ? value : null;
    return { kind: 'scalar', place, value: plain, ...LITERAL, broken: false };
  }
  const { text, problems, ...origin } = interpolate(value, build.references);
  for (const problem of problems) add(build.report, build.file, place, path, problem);
  return { kind: 'scalar', place, value: text ?? '', ...origin, broken: text === undefined };
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function add(report: Report, file: string, place: Place, path: Path, message: string): void {
  report.problems.push({ file, line: place.line, column: place.column, path: formatPath(path), message });
}
