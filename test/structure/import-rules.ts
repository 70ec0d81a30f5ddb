/** Rules about who imports whom (docs/ARCHITECTURE.md): each returns one line `path:line what is wrong` per violation. */

import { dirname, join, normalize } from 'node:path/posix';
import type { Node } from 'typescript/unstable/ast';
import {
  isCallExpression,
  isExportDeclaration,
  isImportDeclaration,
  isImportTypeNode,
  isLiteralTypeNode,
  isStringLiteral,
} from 'typescript/unstable/ast/is';
import { placeOf, type Source, walk } from './source.ts';

interface Import {
  readonly place: string;
  readonly from: string;
  /** The path of a file of the project, or the name of a package. */
  readonly to: string;
}

/** What each folder may import of the others; a file outside these folders may import everything. */
const FOLDERS: ReadonlyMap<string, readonly string[]> = new Map([
  ['src/core/', ['src/core/']],
  ['src/flows/', ['src/core/', 'src/flows/']],
  ['src/proxy/', ['src/core/', 'src/proxy/']],
]);

/** Packages that only these files use. */
const PACKAGES: ReadonlyMap<string, RegExp> = new Map([
  ['zod', /^src\/core\/config\//],
  ['yaml', /^src\/core\/config\//],
  ['iovalkey', /^src\/core\/store-valkey[a-z-]*\.ts$/],
  ['oauth4webapi', /^src\/flows\//],
  ['undici', /^src\/(core\/outbound|cli\/)/],
  ['ws', /^src\/(proxy\/websocket|cli\/demo\/)/],
  ['uWebSockets.js', /^src\/(core\/(context|reply|app)[a-z-]*\.ts$|proxy\/)/],
]);

/** Core, flows and proxy import only downwards, and nothing imports main. */
export function findWrongDirections(sources: readonly Source[]): string[] {
  return readImports(sources).flatMap(({ place, from, to }) => {
    if (!to.startsWith('src/')) return [];
    if (to === 'src/main.ts') return [`${place} imports ${to}, which nothing may import`];
    const folder = [...FOLDERS.keys()].find((prefix) => from.startsWith(prefix));
    const allowed = folder === undefined ? ['src/'] : FOLDERS.get(folder)!;
    return allowed.some((prefix) => to.startsWith(prefix)) ? [] : [`${place} imports ${to}: ${folder} must not`];
  });
}

/** A package that belongs to one place is imported nowhere else. */
export function findMisplacedPackages(sources: readonly Source[]): string[] {
  return readImports(sources).flatMap(({ place, from, to }) => {
    const home = PACKAGES.get(to);
    return home === undefined || home.test(from) ? [] : [`${place} imports ${to}, which belongs to ${home.source}`];
  });
}

/** No file reaches itself through imports, types included. */
export function findCycles(sources: readonly Source[]): string[] {
  const edges = new Map<string, string[]>(sources.map(({ path }) => [path, []]));
  for (const { from, to } of readImports(sources)) if (edges.has(to)) edges.get(from)?.push(to);
  const finished = new Set<string>();
  const problems: string[] = [];
  const follow = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) problems.push(`${path}:1 imports itself: ${[...trail.slice(start), path].join(' -> ')}`);
    if (start >= 0 || finished.has(path)) return;
    for (const next of edges.get(path) ?? []) follow(next, [...trail, path]);
    finished.add(path);
  };
  for (const path of edges.keys()) follow(path, []);
  return problems;
}

/** No file consists only of what it passes on from others. */
export function findBarrels(sources: readonly Source[]): string[] {
  return sources
    .filter(({ tree }) => tree.statements.length > 0)
    .filter(({ tree }) => tree.statements.every((node) => isExportDeclaration(node) && node.moduleSpecifier))
    .map(({ path }) => `${path}:1 only passes on what other files export`);
}

function readImports(sources: readonly Source[]): Import[] {
  const found: Import[] = [];
  for (const source of sources) {
    walk(source.tree, (node) => {
      const specifier = readSpecifier(node);
      if (specifier === undefined) return;
      found.push({ place: placeOf(source, node), from: source.path, to: resolve(source.path, specifier) });
    });
  }
  return found;
}

function readSpecifier(node: Node): string | undefined {
  const literal = findSpecifierNode(node);
  return literal !== undefined && isStringLiteral(literal) ? literal.text : undefined;
}

function findSpecifierNode(node: Node): Node | undefined {
  if (isImportDeclaration(node) || isExportDeclaration(node)) return node.moduleSpecifier;
  if (isImportTypeNode(node)) return isLiteralTypeNode(node.argument) ? node.argument.literal : undefined;
  if (isCallExpression(node) && node.expression.getText() === 'import') return node.arguments[0];
  return undefined;
}

function resolve(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return normalize(join(dirname(from), specifier));
  const depth = specifier.startsWith('@') ? 2 : 1;
  return specifier.split('/').slice(0, depth).join('/');
}
