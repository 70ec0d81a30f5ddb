import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConfigError, loadConfig } from '../../../src/core/config/load.ts';
import type { ReadFile } from '../../../src/core/config/read-file.ts';
import type { Config } from '../../../src/core/config/types.ts';

/** The four files as text (null = absent); `files` holds what `${file:…}` and certificates refer to, by absolute path. */
export type Sources = {
  readonly settings?: string | Buffer | null;
  readonly idps?: string | null;
  readonly routes?: string;
  readonly pdp?: string;
  readonly files?: Readonly<Record<string, string | Buffer>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
};

/** A key that nobody would call weak. */
export const SEAL_KEY = 'kJ0sTQv3m2Yw8bZ1rXn4LcA7uHdE6pGf9oIiSxVyBQM';
/** The environment of the base files. */
export const ENVIRONMENT = { SEAL: SEAL_KEY, CLIENT_SECRET: 'a-client-secret-of-some-length' };

/** The smallest usable settings.yaml; what a case appends begins on line 8. */
export const SETTINGS = `version: 1
sites:
  main:
    public_url: https://app.example.com
keys:
  seal:
    - {id: k1, secret: "\${SEAL}"}
`;

/** The smallest usable idps.yaml; what a case appends belongs to the provider and begins on line 7. */
export const IDPS = `version: 1
providers:
  main:
    issuer: https://id.example.com
    client_id: sallyport
    client_auth: {secret: "\${CLIENT_SECRET}"}
`;

/** The beginning of a routes.yaml with one service; what a case appends begins on line 5. */
export const ROUTES = `version: 1
services:
  api: {urls: ["http://api:8000"], token: {source: session}}
routes:
`;

/** Load sources that exist in memory alone. */
export function load(sources: Sources): Config {
  const { settings = SETTINGS, idps = IDPS, routes, pdp, files = {}, environment = {} } = sources;
  const named = { 'settings.yaml': settings, 'idps.yaml': idps, 'routes.yaml': routes, 'pdp.yaml': pdp };
  const all = new Map<string, string | Buffer | null | undefined>(Object.entries(files));
  for (const [name, text] of Object.entries(named)) all.set(`/etc/sallyport/${name}`, text);
  const readFile: ReadFile = (path, maxBytes) => {
    const content = all.get(path);
    if (content === undefined || content === null) return { problem: 'does not exist', absent: true };
    const bytes = Buffer.from(content);
    return bytes.length > maxBytes ? { problem: `is larger than ${maxBytes} bytes`, absent: false } : { bytes };
  };
  return loadConfig({ directory: '/etc/sallyport', environment: { ...ENVIRONMENT, ...environment }, readFile });
}

/** The lines that loading prints; empty if the sources are usable. Anything but a ConfigError is thrown on. */
export function problemLines(sources: Sources): readonly string[] {
  try {
    load(sources);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.format().split('\n');
    throw error;
  }
}

/** One configuration that is refused, and everything that is then printed. */
export type Refusal = { readonly name: string; readonly sources: Sources; readonly lines: readonly string[] };

/** One test for each case: exactly these lines, and none of the secrets in them. */
export function testRefusals(cases: readonly Refusal[]): void {
  for (const { name, sources, lines } of cases) {
    test(name, () => {
      const printed = problemLines(sources);
      assert.deepEqual(printed, lines);
      assert.doesNotMatch(printed.join('\n'), /hunter2|kJ0sTQv3|a-client-secret/);
    });
  }
}

/** settings.yaml with more sections, from line 8. */
export function settings(more: string): string {
  return SETTINGS + more;
}

/** settings.yaml with more keys of the site, from line 5. */
export function site(more: string): string {
  return SETTINGS.replace('https://app.example.com\n', `https://app.example.com\n    ${more}\n`);
}

/** idps.yaml with more keys of the provider, from line 7. */
export function idps(more: string): string {
  return IDPS + more;
}

/** routes.yaml with routes, from line 5. */
export function routes(more: string): string {
  return ROUTES + more;
}
