import { pathShape } from '../schema/route-path.ts';
import type { Route } from '../types.ts';
import type { CompileContext } from './context.ts';

/** A compiled route, its index in the file, and what each of its written paths expanded to. */
export type IndexedRoute = {
  readonly index: number;
  readonly route: Route;
  readonly expansions: readonly (readonly string[])[];
};

type Owner = { readonly index: number; readonly at: number; readonly pattern: string };

/**
 * Two routes equal in host, path shape and method stop the start (D-39): neither is the more specific one. Reported
 * at the later of the two, with the position of the earlier.
 */
export function checkConflicts({ routes }: CompileContext, compiled: readonly IndexedRoute[]): void {
  const owners = new Map<string, Owner>();
  const reported = new Set<string>();
  const byIndex = new Map(compiled.map(({ index, route }) => [index, route]));
  for (const [key, owner] of compiled.flatMap(keysOf)) {
    const other = owners.get(key);
    if (other === undefined) {
      owners.set(key, owner);
      continue;
    }
    const pair = `${owner.index} ${owner.at} ${other.index}`;
    if (reported.has(pair)) continue;
    reported.add(pair);
    const route = byIndex.get(other.index);
    const problem =
      other.index === owner.index
        ? `{value} holds ${owner.pattern}, which this route has already`
        : `{value} equals ${other.pattern} of route ${route?.id} (${route?.position}) in host, path and method`;
    routes.fail(
      ['routes', owner.index, 'paths', owner.at],
      problem,
      'paths that one route alone matches best',
      'remove or change one of the two',
    );
  }
}

function keysOf({ index, route, expansions }: IndexedRoute): [string, Owner][] {
  const hosts = route.hosts.length === 0 ? [''] : route.hosts;
  const methods = route.methods.length === 0 ? [''] : route.methods;
  return expansions.flatMap((patterns, at) =>
    patterns.flatMap((pattern) =>
      hosts.flatMap((host) =>
        methods.map((method): [string, Owner] => [`${host} ${pathShape(pattern)} ${method}`, { index, at, pattern }]),
      ),
    ),
  );
}
