/** Hop-by-hop fields of RFC 9110 §7.6.1 and their relatives: they end at each connection, in both directions. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'trailers',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]);

/** Add the lower-case names that one Connection line lists. */
export function addNominated(nominated: Set<string>, line: string): void {
  for (const part of line.split(',')) {
    const name = part.trim().toLowerCase();
    if (name !== '') nominated.add(name);
  }
}

/** Names of headers and cookies of which decisions are remembered; what browsers and services send is far below. */
export const NAMES_REMEMBERED = { maxEntries: 2_000, maxChars: 64 };
