/** Reads source files into syntax trees for the structure rules; no types are checked and no imports followed. */

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Node, SourceFile } from 'typescript/unstable/ast';
import { createVirtualFileSystem } from 'typescript/unstable/fs';
import { API } from 'typescript/unstable/sync';

/** The folder of the project. */
export const projectFolder = fileURLToPath(new URL('../../', import.meta.url));

/** A parsed file. */
export interface Source {
  /** Path below the project, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly tree: SourceFile;
}

/** Parses the files that match `patterns`, below the project. */
export function readSources(...patterns: readonly string[]): Source[] {
  const paths = globSync([...patterns], { cwd: projectFolder }).sort();
  return parseSources(Object.fromEntries(paths.map((path) => [path, readFileSync(join(projectFolder, path), 'utf8')])));
}

/** Parses `files`, path to text. */
export function parseSources(files: Readonly<Record<string, string>>): Source[] {
  const paths = Object.keys(files);
  if (paths.length === 0) return [];
  const options = { noLib: true, noResolve: true, types: [], allowJs: true };
  const virtual: Record<string, string> = {
    '/virtual/tsconfig.json': JSON.stringify({ compilerOptions: options, files: paths }),
  };
  for (const path of paths) virtual[`/virtual/${path}`] = files[path] ?? '';
  const api = new API({ cwd: '/virtual', fs: createVirtualFileSystem(virtual) });
  try {
    using snapshot = api.updateSnapshot({ openProjects: ['/virtual/tsconfig.json'] });
    const project = snapshot.getProjects()[0];
    return paths.map((path) => {
      const tree = project?.program.getSourceFile(`/virtual/${path}`);
      if (tree === undefined) throw new Error(`${path} cannot be parsed`);
      return { path, text: files[path] ?? '', tree };
    });
  } finally {
    api.close();
  }
}

/** Calls `visit` with each node below `node`, parents first. */
export function walk(node: Node, visit: (node: Node) => void): void {
  node.forEachChild((child) => {
    visit(child);
    walk(child, visit);
    return undefined;
  });
}

/** Writes the place of `node` as `path:line`, lines counted from 1. */
export function placeOf(source: Source, node: Node): string {
  return `${source.path}:${lineAt(source, node.getStart(source.tree))}`;
}

/** The line of the character `offset`, counted from 1. */
export function lineAt(source: Source, offset: number): number {
  let line = 1;
  for (let i = source.text.indexOf('\n'); i >= 0 && i < offset; i = source.text.indexOf('\n', i + 1)) line++;
  return line;
}
