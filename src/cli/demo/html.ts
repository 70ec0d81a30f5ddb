import type { ServerResponse } from 'node:http';

/** The text with the five characters that HTML gives a meaning replaced; safe in elements and quoted attributes. */
export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/**
 * The Content-Security-Policy of the pages beside the server (SPEC §10): own resources only, workers from blobs
 * allowed, no frames around, no plug-ins, no inline script or style.
 */
const PAGE_CSP =
  "default-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/** Response headers that every page and asset of the demo carries, besides its content type. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': PAGE_CSP,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
};

/** Sends a complete HTML document with the demo's page headers, which `headers` may override (lower-case names). */
export function sendHtml(
  response: ServerResponse,
  status: number,
  html: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  response
    .writeHead(status, { ...PAGE_HEADERS, 'content-type': 'text/html; charset=utf-8', ...headers })
    .end(response.req.method === 'HEAD' ? undefined : html);
}
