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

/** Routes of one shape and host. */
type Methods = { readonly named: Map<string, CompiledRoute>; any: CompiledRoute | undefined };

/** Routes of one shape. Whatever their number, a look-up is three steps: exact host, then pattern, then none (D-39). */
type Hosts = {
  readonly exact: Map<string, Methods>;
  /** By what follows the label that a `*` stands for, with its dot. */
  readonly patterns: Map<string, Methods>;
  any: Methods | undefined;
};

type Node = {
  readonly literals: Map<string, Node>;
  param: Node | undefined;
  /** Routes that end exactly here. */
  exact: Hosts | undefined;
  /** Routes that end here with `/*`. */
  below: Hosts | undefined;
};

const NONE: RouteMatch = { kind: 'none' };

/** Compile routes into a tree by segment. Ties are refused by the configuration before (D-39). */
export function compileRoutes(routes: readonly Route[]): RouteTable {
  const root = createNode();
  for (const route of routes) {
    const compiled = compileRoute(route);
    for (const path of route.paths) insert(root, path, compiled);
  }
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

function pick(hosts: Hosts | undefined, state: Search): CompiledRoute | undefined {
  if (hosts === undefined) return undefined;
  const { host, method } = state;
  const exact = hosts.exact.get(host);
  const pattern = hosts.patterns.size === 0 ? undefined : hosts.patterns.get(parentOf(host));
  const found = routeFor(exact, method) ?? routeFor(pattern, method) ?? routeFor(hosts.any, method);
  if (found !== undefined) return found;
  state.allow = joinMethods(joinMethods(joinMethods('', exact), pattern), hosts.any);
  return undefined;
}

function routeFor(methods: Methods | undefined, method: string): CompiledRoute | undefined {
  return methods === undefined ? undefined : (methods.named.get(method) ?? methods.any);
}

/** Value of `Allow`: every method of the host once. Only a request that no route takes comes here. */
function joinMethods(allow: string, methods: Methods | undefined): string {
  if (methods === undefined) return allow;
  let joined = allow;
  for (const method of methods.named.keys()) {
    // No method's name is a part of another's.
    if (!joined.includes(method)) joined = joined === '' ? method : `${joined}, ${method}`;
  }
  return joined;
}

/** The host without its first label: what a pattern with `*` in that place is kept under. */
function parentOf(host: string): string {
  const dot = host.indexOf('.');
  return dot === -1 ? '' : host.slice(dot);
}

function compileRoute(route: Route): CompiledRoute {
  return {
    route,
    rule: ruleOf(route),
    allowsAddress: route.allowIps.length === 0 ? undefined : compileAddressMatcher(route.allowIps),
    publicTargets: new Set(route.public.map((entry) => `${entry.method} ${entry.path}`)),
  };
}

function ruleOf({ roles, groups, scopes, stepUp }: Route): AccessRule {
  return { roles, groups, scopes, acr: stepUp?.acr ?? [], maxAgeMs: stepUp?.maxAgeMs };
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
  if (wild) node.below ??= createHosts();
  else node.exact ??= createHosts();
  const hosts = (wild ? node.below : node.exact) as Hosts;
  for (const methods of methodsOf(hosts, compiled.route.hosts)) {
    if (compiled.route.methods.length === 0) methods.any ??= compiled;
    for (const method of compiled.route.methods) {
      if (!methods.named.has(method)) methods.named.set(method, compiled);
    }
  }
}

function methodsOf(hosts: Hosts, names: readonly string[]): Methods[] {
  if (names.length === 0) {
    hosts.any ??= createMethods();
    return [hosts.any];
  }
  return names.map((name) => {
    const isPattern = name.startsWith('*.');
    const map = isPattern ? hosts.patterns : hosts.exact;
    const key = isPattern ? name.slice(1) : name;
    const methods = map.get(key) ?? createMethods();
    map.set(key, methods);
    return methods;
  });
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

function createNode(): Node {
  return { literals: new Map(), param: undefined, exact: undefined, below: undefined };
}

function createHosts(): Hosts {
  return { exact: new Map(), patterns: new Map(), any: undefined };
}

function createMethods(): Methods {
  return { named: new Map(), any: undefined };
}
