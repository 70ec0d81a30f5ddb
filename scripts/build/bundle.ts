import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'esbuild';
import { projectFolder } from '../parts.js';
import { ABSENT, GLOBALS, SUBSETS } from './subsets.ts';

/** In V8's memory a text takes one byte for each character, or two if one of them needs two. */
const NOT_ASCII = /[^\0-\x7f]/;

const OPTIONS = {
  absWorkingDir: projectFolder,
  entryPoints: ['src/main.ts'],
  bundle: true,
  write: false,
  platform: 'node',
  format: 'cjs',
  target: 'node24',
  charset: 'ascii',
  legalComments: 'none',
  external: ['uWebSockets.js'],
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: { js: "(function (require, module, importMetaUrl) { 'use strict';" },
  footer: { js: '})' },
  inject: ['globals'],
  plugins: [replaceModules(ABSENT), inlineModules({ ...SUBSETS, globals: GLOBALS })],
  logLevel: 'error',
};

/**
 * The whole program as one script: reading some 600 modules takes longer than everything else at a start. Neither
 * shortened nor renamed, so that stack traces name functions, and lines of a file that can be read.
 *
 * The script is an expression, a function of `require`, `module` and the address of the file (bin/program.js calls it).
 * The native core stays a package of its own.
 * @param file where it is written.
 * @returns paths of what went into it, from the project's folder.
 * @throws Error if esbuild is not installed, or with its messages.
 */
export async function writeBundle(file: string): Promise<readonly string[]> {
  const { build } = await loadEsbuild();
  const { metafile, outputFiles } = await build({ ...OPTIONS, metafile: true });
  const text = outputFiles.map((output) => output.text).join('');
  if (NOT_ASCII.test(text)) {
    // Only comments may lose a character, and here there are none.
    const [bare] = (await build({ ...OPTIONS, minifyWhitespace: true })).outputFiles;
    const found = NOT_ASCII.exec(bare?.text ?? '');
    if (found !== null) throw new Error(`esbuild left "${found[0]}" in the program: write it as an escape`);
  }
  writeFileSync(file, text.replaceAll(new RegExp(NOT_ASCII, 'g'), '?'));
  return Object.keys(metafile?.inputs ?? {});
}

async function loadEsbuild(): Promise<typeof import('esbuild')> {
  try {
    return await import('esbuild');
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error('the package "esbuild" is not installed: run "npm ci"', { cause: error });
  }
}

/** Modules, by how they are imported, and what stands in their place. */
function replaceModules(texts: readonly (readonly [RegExp, string])[]): Plugin {
  return {
    name: 'replace',
    setup(build) {
      texts.forEach(([filter, contents], index) => {
        const namespace = `replace-${index}`;
        build.onResolve({ filter }, ({ path }) => ({ path, namespace }));
        build.onLoad({ filter: /.*/, namespace }, () => ({ contents, resolveDir: projectFolder }));
      });
    },
  };
}

/** Modules by name whose text is given here. What they import is found from the project's folder. */
function inlineModules(texts: Readonly<Record<string, string>>): Plugin {
  return {
    name: 'inline',
    setup(build) {
      build.onResolve({ filter: /^[a-z-]+$/ }, ({ path, namespace }) =>
        Object.hasOwn(texts, path) && namespace !== 'inline' ? { path, namespace: 'inline' } : undefined,
      );
      // A package's own list of what may be imported of it does not hold for a part of it that is chosen here.
      build.onResolve({ filter: /^[a-z-]+\/.*\.js$/, namespace: 'inline' }, ({ path }) => ({
        path: join(projectFolder, 'node_modules', path),
      }));
      build.onLoad({ filter: /.*/, namespace: 'inline' }, ({ path }) => ({
        contents: texts[path] ?? '',
        resolveDir: projectFolder,
      }));
    },
  };
}
