/** Rules about declarations: each returns one line `path:line what is wrong` per violation. */

import type { Node, Statement } from 'typescript/unstable/ast';
import { NodeFlags, SyntaxKind } from 'typescript/unstable/ast';
import {
  isArrowFunction,
  isConstructorDeclaration,
  isExportAssignment,
  isExportDeclaration,
  isExportSpecifier,
  isFunctionDeclaration,
  isFunctionExpression,
  isGetAccessorDeclaration,
  isIdentifier,
  isMethodDeclaration,
  isNamedExports,
  isSetAccessorDeclaration,
  isVariableStatement,
} from 'typescript/unstable/ast/is';
import { lineAt, placeOf, type Source, walk } from './source.ts';

const FILE_LINES_MAX = 300;
const FUNCTION_LINES_MAX = 60;

/**
 * Nothing is exported as default: a name is searched for and renamed everywhere, a default is not. Declarations of other
 * people's modules say what those export.
 */
export function findDefaultExports(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const source of sources.filter(({ path }) => !path.endsWith('.d.ts'))) {
    walk(source.tree, (node) => {
      const isDefault =
        isExportAssignment(node) ||
        hasModifier(node, SyntaxKind.DefaultKeyword) ||
        (isExportSpecifier(node) && node.name.text === 'default');
      if (isDefault) problems.push(`${placeOf(source, node)} exports a default`);
    });
  }
  return problems;
}

/** Each exported symbol has a block of documentation at its declaration; of overloads, the first. */
export function findUndocumentedExports(sources: readonly Source[]): string[] {
  return sources.flatMap((source) => {
    const listed = readExportList(source);
    const documented = new Set<string>();
    return source.tree.statements.flatMap((statement) => {
      const names = readDeclaredNames(statement);
      const isExported = hasModifier(statement, SyntaxKind.ExportKeyword) || names.some((name) => listed.has(name));
      if (!isExported) return [];
      if (hasDocumentation(source, statement)) for (const name of names) documented.add(name);
      const missing = names.filter((name) => !documented.has(name));
      return missing.map((name) => `${placeOf(source, statement)} exports ${name} without documentation`);
    });
  });
}

/** No module keeps state of its own in a variable. */
export function findModuleVariables(sources: readonly Source[]): string[] {
  return sources.flatMap((source) =>
    source.tree.statements
      .filter((node) => isVariableStatement(node) && (node.declarationList.flags & NodeFlags.Const) === 0)
      .map((node) => `${placeOf(source, node)} declares a variable of the module: ${firstLine(node, source)}`),
  );
}

/** Files of at most 300 lines, functions of at most 60. */
export function findLongParts(sources: readonly Source[]): string[] {
  const problems: string[] = [];
  for (const source of sources) {
    const lines = source.text.trimEnd().split('\n').length;
    if (lines > FILE_LINES_MAX) problems.push(`${source.path}:${lines} the file has more than ${FILE_LINES_MAX} lines`);
    walk(source.tree, (node) => {
      if (!isFunction(node)) return;
      const length = lineAt(source, node.end) - lineAt(source, node.getStart(source.tree)) + 1;
      if (length > FUNCTION_LINES_MAX) problems.push(`${placeOf(source, node)} a function of ${length} lines`);
    });
  }
  return problems;
}

/** Whether `node` is a function with a body of its own: declaration, expression, arrow, method, accessor, constructor. */
export function isFunction(node: Node): boolean {
  return (
    isFunctionDeclaration(node) ||
    isFunctionExpression(node) ||
    isArrowFunction(node) ||
    isMethodDeclaration(node) ||
    isGetAccessorDeclaration(node) ||
    isSetAccessorDeclaration(node) ||
    isConstructorDeclaration(node)
  );
}

/** Whether `node` carries the modifier `kind`. */
export function hasModifier(node: Node, kind: SyntaxKind): boolean {
  const { modifiers } = node as { readonly modifiers?: readonly Node[] };
  return modifiers?.some((modifier) => modifier.kind === kind) ?? false;
}

function readExportList({ tree }: Source): ReadonlySet<string> {
  const names = new Set<string>();
  for (const node of tree.statements) {
    if (!isExportDeclaration(node) || node.moduleSpecifier !== undefined) continue;
    if (node.exportClause === undefined || !isNamedExports(node.exportClause)) continue;
    for (const { name, propertyName } of node.exportClause.elements) names.add((propertyName ?? name).text);
  }
  return names;
}

function readDeclaredNames(statement: Statement): string[] {
  if (isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => name.getText());
  const { name } = statement as { readonly name?: Node };
  return name !== undefined && isIdentifier(name) ? [name.text] : [];
}

function hasDocumentation(source: Source, statement: Statement): boolean {
  const before = source.text.slice(statement.pos, statement.getStart(source.tree)).trimEnd();
  // The opening is looked for as a whole: texts like `/*` are common inside the blocks of this project.
  const start = before.lastIndexOf('/**');
  return start !== -1 && before.indexOf('*/', start) === before.length - 2;
}

function firstLine(node: Node, source: Source): string {
  return node.getText(source.tree).split('\n', 1)[0] ?? '';
}
