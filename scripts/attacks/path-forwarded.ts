import type { PathRoute, PathWorld } from './path-world.ts';
import type { CaseLog } from './report.ts';

/** Two readings of one text: what a service could still decode, fold or cut. */
const AMBIGUOUS_TEXT = /%2[ef5]|%5c|%3b|%3f|%23|%0|%1|%7f|[\\;#]|\/\/|\/\.{1,2}(?:\/|$)/i;

/**
 * What was authorized is what is sent: one request line on the wire, with exactly the text of `forward_as`, or
 * else a path that is plainly inside the route that matched.
 */
export function checkForwarded(
  log: CaseLog,
  { services }: PathWorld,
  { outcome, method, forwardAs }: { readonly outcome: string; readonly method: string; readonly forwardAs: unknown },
): void {
  if (!outcome.startsWith('route:')) return;
  const route = outcome.slice('route:'.length) as PathRoute;
  const seen = services.get(route)?.seen ?? [];
  log.check(seen.length === 1, `${outcome}: ${seen.length} requests, expected one`);
  const [request] = seen;
  if (request === undefined) return;
  const raw = request.raw().toString('latin1');
  const line = raw.slice(0, raw.indexOf('\r\n'));
  if (forwardAs !== undefined) {
    const expected = `${method} ${String(forwardAs)} HTTP/1.1`;
    log.check(line === expected, `the service received ${JSON.stringify(line)}, expected ${JSON.stringify(expected)}`);
  }
  const target = line.slice(method.length + 1, line.lastIndexOf(' '));
  const path = target.split('?')[0] ?? '';
  const inside = path === `/api/${route}` || path.startsWith(`/api/${route}/`);
  log.check(inside && !AMBIGUOUS_TEXT.test(path), `the service received ${path} through ${outcome}`);
  // What a service's URL parser makes of it must be the same text.
  const parsed = URL.canParse(`http://service${path}`) ? new URL(`http://service${path}`).pathname : '';
  log.check(parsed === path, `a URL parser reads ${JSON.stringify(path)} as ${JSON.stringify(parsed)}`);
  log.check(!/\r\n[A-Z]+ \S+ HTTP\/1\.\d\r\n/.test(raw), 'the service received a second request line');
}
