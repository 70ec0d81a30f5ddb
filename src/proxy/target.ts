import type { Route } from '../core/config/types.ts';
import type { RequestContext } from '../core/context.ts';
import { isAtOrBelow } from '../core/path.ts';

/**
 * The request target for a service. What was authorized is what is sent: the canonical path, with its
 * beginning replaced if the route says so, and the query as it came. Never joined with `new URL` (SECURITY §4.4).
 */
export function targetOf(context: Pick<RequestContext, 'query'>, path: string, rewrite: Route['rewrite']): string {
  const sent = rewrite === undefined ? path : swapBeginning(path, rewrite.prefix, rewrite.to);
  return context.query === '' ? sent : `${sent}?${context.query}`;
}

/**
 * The public form of an absolute address that a service gives of itself, so that no internal host reaches a browser;
 * undefined for every other address (SECURITY §4.8).
 * @param origins where the service is.
 */
export function publicLocation(
  location: string,
  origins: readonly string[],
  rewrite: Route['rewrite'],
): string | undefined {
  const base = location.startsWith('//') ? origins[0] : undefined;
  if (!URL.canParse(location, base)) return undefined;
  const url = new URL(location, base);
  if (!origins.includes(url.origin)) return undefined;
  // Two slashes at the beginning would name another host.
  const path = url.pathname.replace(/^\/+/, '/');
  const isRewritten = rewrite !== undefined && isAtOrBelow(path, rewrite.to);
  return (isRewritten ? swapBeginning(path, rewrite.to, rewrite.prefix) : path) + url.search + url.hash;
}

/** `/a/b` with `/a` for `/x` is `/x/b`; a lone `/` on either side stands for nothing. */
function swapBeginning(path: string, from: string, to: string): string {
  const rest = path.slice(from === '/' ? 0 : from.length);
  // Both a beginning and a rest of `/` would give two slashes.
  const swapped = to === '/' ? rest : to + (rest === '/' && from === '/' ? '' : rest);
  return swapped === '' ? '/' : swapped;
}
