// hot: bench/routes.ts
import type { AccessRule } from './access.ts';
import { type AddressMatcher, compileAddressMatcher } from './address.ts';
import type { Route } from './config/types.ts';

/** A route with its predicates compiled. */
export type CompiledRoute = {
  readonly route: Route;
  readonly rule: AccessRule;
  /** undefined = every address. */
  readonly allowsAddress: AddressMatcher | undefined;
  /** `GET /path` of the entries that need no session. */
  readonly publicTargets: ReadonlySet<string>;
};

/** What a look-up finds: a route, a known path with other methods, or nothing. A value, so that it can be printed. */
export type RouteMatch =
  | { readonly kind: 'route'; readonly compiled: CompiledRoute }
  | { readonly kind: 'method'; readonly allow: string }
  | { readonly kind: 'none' };

/** The route table (D-39). */
export type RouteTable = {
  readonly size: number;
  /**
   * @param host canonical host, see sites.ts.
   * @param path canonical path, see path.ts.
   */
  find(host: string, path: string, method: string): RouteMatch;
};

/** A route at one of its hosts; undefined = every host. Each host stands alone, because each has a rank of its own. */
type Candidate = { readonly host: string | undefined; readonly compiled: CompiledRoute };

type Node = {
  readonly literals: Map<string, Node>;
  param: Node | undefined;
  /** Routes that end exactly here, best first. */
  readonly exact: Candidate[];
  /** Routes that end here with `/*`, best first. */
  readonly below: Candidate[];
};

const NONE: RouteMatch = { kind: 'none' };

/** Compile routes into a tree by segment. Ties are refused by the configuration before (D-39). */
export function compileRoutes(routes: readonly Route[]): RouteTable {
  const root = createNode();
  for (const route of routes) {
    const compiled = compileRoute(route);
    for (const path of route.paths) insert(root, path, compiled);
  }
  sortNode(root);
  return {
    size: routes.length,
    find(host, path, method) {
      const state: Search = { host, method, allow: '' };
      const found = descend(root, path, 1, state);
      if (found !== undefined) return { kind: 'route', compiled: found };
      return state.allow === '' ? NONE : { kind: 'method', allow: state.allow };
    },
  };
}

type Search = { readonly host: string; readonly method: string; allow: string };

/** Literal before `:name` before `/*`, per segment; the first shape that knows the host decides about the method. */
function descend(node: Node, path: string, at: number, state: Search): CompiledRoute | undefined {
  if (at > path.length) return pick(node.exact, state) ?? (state.allow === '' ? pick(node.below, state) : undefined);
  let end = path.indexOf('/', at);
  if (end === -1) end = path.length;
  const segment = path.slice(at, end);
  const literal = node.literals.get(segment);
  if (literal !== undefined) {
    const found = descend(literal, path, end + 1, state);
    if (found !== undefined || state.allow !== '') return found;
  }
  if (node.param !== undefined && segment !== '') {
    const found = descend(node.param, path, end + 1, state);
    if (found !== undefined || state.allow !== '') return found;
  }
  return pick(node.below, state);
}

function pick(candidates: readonly Candidate[], state: Search): CompiledRoute | undefined {
  let isKnown = false;
  for (const { host, compiled } of candidates) {
    if (host !== undefined && !matchesHost(host, state.host)) continue;
    const { methods } = compiled.route;
    if (methods.length === 0 || methods.includes(state.method)) return compiled;
    isKnown = true;
  }
  state.allow = isKnown ? allowOf(candidates, state.host) : '';
  return undefined;
}

/** Value of `Allow`: the methods of every candidate of the host, each once. */
function allowOf(candidates: readonly Candidate[], searched: string): string {
  const allow: string[] = [];
  for (const { host, compiled } of candidates) {
    if (host !== undefined && !matchesHost(host, searched)) continue;
    for (const method of compiled.route.methods) if (!allow.includes(method)) allow.push(method);
  }
  return allow.join(', ');
}

/** Equal, or one label in place of the pattern's `*`. */
function matchesHost(pattern: string, host: string): boolean {
  if (pattern === host) return true;
  return (
    pattern.startsWith('*.') &&
    host.endsWith(pattern.slice(1)) &&
    host.indexOf('.') === host.length - pattern.length + 1
  );
}

function compileRoute(route: Route): CompiledRoute {
  return {
    route,
    rule: { roles: route.roles, groups: route.groups, scopes: route.scopes, acr: [], maxAgeMs: undefined },
    allowsAddress: route.allowIps.length === 0 ? undefined : compileAddressMatcher(route.allowIps),
    publicTargets: new Set(route.public.map((entry) => `${entry.method} ${entry.path}`)),
  };
}

function insert(root: Node, path: string, compiled: CompiledRoute): void {
  const wild = path.endsWith('/*');
  const text = wild ? path.slice(0, -2) : path;
  let node = root;
  for (let at = 1; at <= text.length; ) {
    let end = text.indexOf('/', at);
    if (end === -1) end = text.length;
    node = childOf(node, text.slice(at, end));
    at = end + 1;
  }
  const candidates = wild ? node.below : node.exact;
  const { hosts } = compiled.route;
  if (hosts.length === 0) candidates.push({ host: undefined, compiled });
  for (const host of hosts) candidates.push({ host, compiled });
}

function childOf(node: Node, segment: string): Node {
  if (segment.startsWith(':')) {
    node.param ??= createNode();
    return node.param;
  }
  const known = node.literals.get(segment);
  if (known !== undefined) return known;
  const child = createNode();
  node.literals.set(segment, child);
  return child;
}

/** Exact host, then pattern, then none; methods given before none (D-39). */
function rank({ host, compiled }: Candidate): number {
  const hostRank = host === undefined ? 2 : host.startsWith('*.') ? 1 : 0;
  return hostRank * 2 + (compiled.route.methods.length === 0 ? 1 : 0);
}

function sortNode(node: Node): void {
  node.exact.sort((a, b) => rank(a) - rank(b));
  node.below.sort((a, b) => rank(a) - rank(b));
  for (const child of node.literals.values()) sortNode(child);
  if (node.param !== undefined) sortNode(node.param);
}

function createNode(): Node {
  return { literals: new Map(), param: undefined, exact: [], below: [] };
}
