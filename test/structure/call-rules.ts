/** Rules about what code may call: each returns one line `path:line what is wrong` per violation. */

import type { Node } from 'typescript/unstable/ast';
import { SyntaxKind } from 'typescript/unstable/ast';
import {
  isAwaitExpression,
  isCallExpression,
  isFunctionDeclaration,
  isIdentifier,
  isNewExpression,
  isPropertyAccessExpression,
  isRegularExpressionLiteral,
  isSpreadAssignment,
  isSpreadElement,
} from 'typescript/unstable/ast/is';
import { hasModifier, isFunction } from './declaration-rules.ts';
import { placeOf, type Source, walk } from './source.ts';

/** A hot file says so, and names its bench, in its first line. */
const HOT_MARK = '// hot:';
const HOT_LINE = /^\/\/ hot: bench\/[a-z0-9/-]+\.ts\b/;
/** The files that must carry the mark, once they exist (docs/ARCHITECTURE.md). */
const HOT_FILES: readonly string[] = ['cookie', 'l1', 'routes', 'context', 'verify', 'reply'];
/** Functions that run once at the start, by name; closures inside them run per request. */
const START_UP = /^(compile|create)[A-Z]/;

/** The files known to be hot, and no others that pretend, carry a complete mark. */
export function findWrongHotMarks(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) => {
    const isMarked = text.startsWith(HOT_MARK);
    const mustBe = HOT_FILES.some((name) => path === `src/core/${name}.ts`);
    if (!isMarked && mustBe) return [`${path}:1 is hot and does not begin with "// hot: bench/NAME.ts"`];
    return isMarked && !HOT_LINE.test(text) ? [`${path}:1 is marked hot and names no bench/NAME.ts`] : [];
  });
}

/** Hot files are synchronous, and build no strings, arrays or objects the slow way, except at the start. */
export function findSlowCode(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const source of sources.filter(({ text }) => text.startsWith(HOT_MARK))) {
    walk(source.tree, (node) => {
      const waits = isAwaitExpression(node) || hasModifier(node, SyntaxKind.AsyncKeyword);
      const slow = waits ? 'async' : describeSlow(node);
      if (slow !== undefined && (waits || !runsAtStart(node)))
        problems.push(`${placeOf(source, node)} ${slow} in a hot file`);
    });
  }
  return problems;
}

/** HTTP leaves through one module with bounds on time, size and redirects: the global `fetch` has none (D-35). */
export function findGlobalFetch(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const source of sources) {
    const own = declaresFetch(source);
    walk(source.tree, (node) => {
      const isGlobal =
        isIdentifier(node) && node.text === 'fetch' && (isMemberOfGlobal(node) || (!own && isValue(node)));
      if (isGlobal) problems.push(`${placeOf(source, node)} uses the global fetch`);
    });
  }
  return problems;
}

function describeSlow(node: Node): string | undefined {
  if (isSpreadElement(node) || isSpreadAssignment(node)) return 'spread';
  if (isRegularExpressionLiteral(node)) return 'a regular expression';
  if (isNewExpression(node) && node.expression.getText() === 'URL') return 'new URL(';
  if (isPropertyAccessExpression(node) && node.expression.getText() === 'JSON') return 'JSON.';
  const isSplit =
    isCallExpression(node) && isPropertyAccessExpression(node.expression) && node.expression.name.text === 'split';
  return isSplit ? '.split(' : undefined;
}

/** In the module's own code, or directly in the body of a function that runs at the start. */
function runsAtStart(node: Node): boolean {
  for (let parent = node.parent; parent !== undefined; parent = parent.parent) {
    if (isFunction(parent)) return isFunctionDeclaration(parent) && START_UP.test(parent.name?.text ?? '');
  }
  return true;
}

function isMemberOfGlobal({ parent }: Node): boolean {
  return isPropertyAccessExpression(parent) && parent.expression.getText() === 'globalThis';
}

/** Kinds of nodes that give a name to something; there `fetch` is not the global one. */
const NAMING: readonly SyntaxKind[] = [
  SyntaxKind.ImportSpecifier,
  SyntaxKind.VariableDeclaration,
  SyntaxKind.Parameter,
  SyntaxKind.BindingElement,
  SyntaxKind.FunctionDeclaration,
];

function declaresFetch({ tree }: Source): boolean {
  let found = false;
  walk(tree, (node) => {
    const { name } = node as { readonly name?: Node };
    if (NAMING.includes(node.kind) && name !== undefined && isIdentifier(name) && name.text === 'fetch') found = true;
  });
  return found;
}

/** Whether the identifier stands for a value, rather than naming a member or standing in a type. */
function isValue(node: Node): boolean {
  const { parent } = node;
  if (parent.kind === SyntaxKind.ImportSpecifier) return false;
  if (isPropertyAccessExpression(parent)) return parent.expression === node;
  const { name, initializer } = parent as { readonly name?: Node; readonly initializer?: Node };
  if (name === node) return parent.kind === SyntaxKind.ShorthandPropertyAssignment;
  return initializer === node || !isTypePlace(parent);
}

function isTypePlace({ kind }: Node): boolean {
  return kind === SyntaxKind.TypeQuery || kind === SyntaxKind.TypeReference || kind === SyntaxKind.QualifiedName;
}
