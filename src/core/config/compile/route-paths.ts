import { isAtOrBelow } from '../../path.ts';
import { pathBase } from '../schema/route-path.ts';

import type { Route } from '../types.ts';
import type { CompileContext } from './context.ts';
import type { IndexedRoute } from './route-conflicts.ts';
import { hostMatches } from './sites.ts';

type RouteInput = NonNullable<NonNullable<CompileContext['routes']['sections']['routes']>[number]>;

/** Compile what a service sees in place of the path's beginning: `rewrite`, or `strip_prefix`, which leaves nothing of it. */
export function compileRewrite({ routes }: CompileContext, input: RouteInput, index: number): Route['rewrite'] {
  const { rewrite, strip_prefix, target_service } = input;
  const key = rewrite === undefined ? 'strip_prefix' : 'rewrite';
  const path = ['routes', index, key];
  const compiled = rewrite ?? (strip_prefix === undefined ? undefined : { prefix: strip_prefix, to: '/' });
  if (compiled === undefined) return undefined;
  if (rewrite !== undefined && strip_prefix !== undefined) {
    const fix = 'remove one of them';
    routes.fail(['routes', index, 'strip_prefix'], 'stands beside rewrite', 'one of the two', fix);
  }
  if (target_service === undefined) {
    routes.fail(path, `a ${key} without target_service`, 'a service', `add target_service or remove ${key}`);
  }
  const outside = input.paths.find((pattern) => !isAtOrBelow(pathBase(pattern), compiled.prefix));
  if (outside !== undefined) {
    routes.fail(
      rewrite === undefined ? path : [...path, 'prefix'],
      `{value} is no beginning of ${outside}`,
      'the beginning of every path of the route',
      'correct it',
    );
  }
  return compiled;
}

/**
 * Opaque paths are for applications that need `%2F` and guard their own paths (D-07). Nothing here may depend on such a
 * path: no service, no rule below the host, and no other route that it could slip past.
 */
export function checkOpaque({ routes }: CompileContext, compiled: readonly IndexedRoute[]): void {
  for (const { index, route } of compiled) {
    if (route.pathMode !== 'opaque') continue;
    const isWholeHost = route.hosts.length > 0 && route.paths.every((path) => path === '/*');
    if (route.service === undefined && isWholeHost && route.public.length === 0) {
      const other = compiled.find(({ route: other }) => other.pathMode !== 'opaque' && sharesHost(route, other));
      if (other === undefined) continue;
      const problem = `path_mode: opaque on a host where ${other.route.id} (${other.route.position}) judges by the path`;
      routes.fail(['routes', index], problem, 'a host that it has alone', 'change the hosts of one of them');
      continue;
    }
    const expected = 'hosts, paths: [/*], and neither target_service nor public';
    routes.fail(['routes', index], 'path_mode: opaque on more or less than whole hosts', expected, 'use strict');
  }
}

function sharesHost({ hosts }: Route, { hosts: others }: Route): boolean {
  if (others.length === 0) return true;
  return others.some((host) => hostMatches(host, hosts)) || hosts.some((host) => hostMatches(host, others));
}
