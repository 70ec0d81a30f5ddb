import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { projectFolder } from '../../scripts/parts.js';

/** A fenced block of a Markdown file. */
export type CodeBlock = {
  /** `yaml`, `sh`, …; empty where none is given. */
  readonly language: string;
  readonly text: string;
  /** The last line with text before the block. */
  readonly lead: string;
};

/** Every page that users read, and every page of docs/, as paths below the project. */
export function listPages(): readonly string[] {
  const pages = ['README.md', 'CONTRIBUTING.md', ...globSync('docs/**/*.md', { cwd: projectFolder }).sort()];
  return pages.filter((page) => !page.includes('node_modules'));
}

/** The text of a file below the project. */
export function readProject(path: string): string {
  return readFileSync(join(projectFolder, path), 'utf8');
}

/** The fenced blocks of a page, in order; blocks inside lists are unindented. */
export function codeBlocks(markdown: string): readonly CodeBlock[] {
  const blocks: CodeBlock[] = [];
  const pattern = /^( *)```(\w*)\n([\s\S]*?)^\1```$/gm;
  for (const match of markdown.matchAll(pattern)) {
    const [, indent = '', language = '', body = ''] = match;
    const before = markdown.slice(0, match.index).trimEnd();
    const text = body.replace(new RegExp(`^${indent}`, 'gm'), '');
    blocks.push({ language, text, lead: before.slice(before.lastIndexOf('\n') + 1) });
  }
  return blocks;
}

/** A page without its fenced blocks. */
export function proseOf(markdown: string): string {
  return markdown.replace(/^( *)```\w*\n[\s\S]*?^\1```$/gm, '');
}

/** A YAML file of docs/examples as data. @throws YAMLParseError */
export function readExample(path: string): Record<string, unknown> {
  return parse(readProject(`docs/examples/${path}`), { strict: true, uniqueKeys: true }) as Record<string, unknown>;
}

/** One service of the Compose example. */
export type ComposeService = {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly labels?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: unknown;
};

/** The services of the Compose example by name. */
export function readCompose(): Readonly<Record<string, ComposeService>> {
  return readExample('compose/compose.yaml')['services'] as Record<string, ComposeService>;
}

const LISTS: ReadonlySet<string> = new Set(['middlewares', 'entryPoints', 'authResponseHeaders', 'sourceRange']);

/**
 * Traefik's labels of all services as the dynamic configuration that its Docker provider makes of them: lists split at
 * commas, `loadBalancer.server.port` as an address of the container.
 */
export function labelsAsDynamicConfig(services: Readonly<Record<string, ComposeService>>): { http: HttpConfig } {
  const root: Record<string, unknown> = {};
  for (const [container, { labels = [] }] of Object.entries(services)) {
    for (const label of labels) {
      const equals = label.indexOf('=');
      const path = label.slice(0, equals).split('.').slice(1);
      if (path[0] === 'enable') continue;
      setAt(root, container, path, label.slice(equals + 1));
    }
  }
  return root as { http: HttpConfig };
}

/** Traefik's `http` section, as far as the tests look into it. */
export type HttpConfig = {
  readonly routers: Record<string, { rule: string; priority: number; service?: string; middlewares?: string[] }>;
  readonly middlewares: Record<string, Record<string, Record<string, unknown>>>;
  readonly services: Record<string, { loadBalancer: { servers: { url: string }[] } }>;
};

function setAt(root: Record<string, unknown>, container: string, path: readonly string[], text: string): void {
  let node = root;
  const isPort = path.slice(-2).join('.') === 'server.port';
  const steps = isPort ? [...path.slice(0, -2), 'servers'] : path;
  for (const step of steps.slice(0, -1)) {
    node[step] ??= {};
    node = node[step] as Record<string, unknown>;
  }
  node[steps.at(-1) ?? ''] = isPort ? [{ url: `http://${container}:${text}` }] : labelValue(path.at(-1) ?? '', text);
}

function labelValue(key: string, text: string): unknown {
  if (LISTS.has(key)) return text.split(',');
  if (text === 'true' || text === 'false') return text === 'true';
  return /^\d+$/.test(text) ? Number(text) : text;
}
