import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '../../src/core/address.ts';
import type { Route } from '../../src/core/config/types.ts';
import { compileRoutes, type RouteMatch } from '../../src/core/routes.ts';
import { routeOf } from './world.ts';

const HOST = 'app.example.test';

/** A match in short: the route's id, `405 <Allow>`, or `none`. */
function brief(match: RouteMatch): string {
  if (match.kind === 'route') return match.compiled.route.id;
  return match.kind === 'method' ? `405 ${match.allow}` : 'none';
}

/** Routes named by their first path. */
function tableOf(...routes: (Partial<Route> & { paths: string[] })[]) {
  const table = compileRoutes(routes.map((route) => routeOf({ id: route.paths[0] ?? '', ...route })));
  return (path: string, method = 'GET', host = HOST): string => brief(table.find(host, path, method));
}

describe('the most specific path wins', () => {
  const find = tableOf(
    { paths: ['/*'] },
    { paths: ['/'] },
    { paths: ['/api/*'] },
    { paths: ['/api/users'] },
    { paths: ['/api/users/:id'] },
    { paths: ['/api/users/me'] },
    { paths: ['/api/users/:id/files/*'] },
    { paths: ['/api/users/me/files/secret'] },
    { paths: ['/api/:kind/files/readme'] },
    { paths: ['/docs/'] },
    { paths: ['/x/:a/:b'] },
  );
  const table: readonly (readonly [path: string, route: string])[] = [
    ['/', '/'],
    ['/other', '/*'],
    ['/other/', '/*'],
    ['/api', '/api/*'],
    ['/api/', '/api/*'],
    ['/apis', '/*'],
    ['/api/x/y/z', '/api/*'],
    ['/api/users', '/api/users'],
    ['/api/users/', '/api/*'],
    ['/api/users/7', '/api/users/:id'],
    ['/api/users/me', '/api/users/me'],
    ['/api/users/mee', '/api/users/:id'],
    ['/api/users/ME', '/api/users/:id'],
    ['/api/users/7/files', '/api/users/:id/files/*'],
    ['/api/users/7/files/', '/api/users/:id/files/*'],
    ['/api/users/7/files/a/b', '/api/users/:id/files/*'],
    ['/api/users/me/files/secret', '/api/users/me/files/secret'],
    // The literal `me` leads nowhere: back to `:id`.
    ['/api/users/me/files/other', '/api/users/:id/files/*'],
    // Neither literal `users` nor its children fit: back to `:kind`.
    ['/api/users/files/readme', '/api/:kind/files/readme'],
    ['/api/things/files/readme', '/api/:kind/files/readme'],
    ['/api/things/files/other', '/api/*'],
    ['/docs', '/*'],
    ['/docs/', '/docs/'],
    ['/x/1/2', '/x/:a/:b'],
    ['/x/1', '/*'],
    ['/x/1/', '/*'],
    ['/x/1/2/', '/*'],
    ['/__proto__', '/*'],
    ['/constructor/prototype', '/*'],
  ];
  for (const [path, route] of table) test(`${path} is of ${route}`, () => assert.equal(find(path), route));
});

describe('hosts', () => {
  const find = tableOf(
    { paths: ['/a'], id: 'any' },
    { paths: ['/a'], id: 'wild', hosts: ['*.example.test'] },
    { paths: ['/a'], id: 'exact', hosts: [HOST, 'b.other.test'] },
    { paths: ['/only'], id: 'only', hosts: [HOST] },
    { paths: ['/*'], id: 'rest', hosts: ['*.other.test:8443'] },
  );
  const table: readonly (readonly [host: string, path: string, route: string])[] = [
    [HOST, '/a', 'exact'],
    ['b.other.test', '/a', 'exact'],
    ['x.example.test', '/a', 'wild'],
    ['x.y.example.test', '/a', 'any'],
    ['example.test', '/a', 'any'],
    ['evil.test', '/a', 'any'],
    ['notexample.test', '/a', 'any'],
    [HOST, '/only', 'only'],
    ['x.example.test', '/only', 'none'],
    ['a.other.test:8443', '/x', 'rest'],
    ['a.other.test', '/x', 'none'],
  ];
  for (const [host, path, route] of table) {
    test(`${host}${path} is of ${route}`, () => assert.equal(find(path, 'GET', host), route));
  }

  test('a more specific path of another host is passed over', () => {
    const other = tableOf({ paths: ['/a/b'], hosts: ['other.test'] }, { paths: ['/a/:x'], hosts: [HOST] });
    assert.equal(other('/a/b'), '/a/:x');
  });

  test('an exact host is exact even if its route has patterns too, whatever the order', () => {
    const mixed = { paths: ['/*'], id: 'mixed', hosts: ['a.x.test', '*.y.test'] };
    const wild = { paths: ['/*'], id: 'wild', hosts: ['*.x.test'] };
    for (const find of [tableOf(wild, mixed), tableOf(mixed, wild)]) {
      assert.equal(find('/', 'GET', 'a.x.test'), 'mixed');
      assert.equal(find('/', 'GET', 'b.x.test'), 'wild');
      assert.equal(find('/', 'GET', 'b.y.test'), 'mixed');
    }
  });
});

describe('methods', () => {
  const find = tableOf(
    { paths: ['/a'], id: 'read', methods: ['GET', 'HEAD'] },
    { paths: ['/a'], id: 'write', methods: ['POST'] },
    { paths: ['/b'], id: 'b-get', methods: ['GET'] },
    { paths: ['/b'], id: 'b-any' },
    { paths: ['/c/d'], id: 'd', methods: ['POST'] },
    { paths: ['/c/*'], id: 'c' },
  );
  const table: readonly (readonly [method: string, path: string, found: string])[] = [
    ['GET', '/a', 'read'],
    ['POST', '/a', 'write'],
    ['DELETE', '/a', '405 GET, HEAD, POST'],
    ['get', '/a', '405 GET, HEAD, POST'],
    ['GET', '/b', 'b-get'],
    ['POST', '/b', 'b-any'],
    // A known path with other methods is 405: the wider route below it must not answer in its place.
    ['GET', '/c/d', '405 POST'],
    ['GET', '/c/e', 'c'],
  ];
  for (const [method, path, found] of table) {
    test(`${method} ${path} is ${found}`, () => assert.equal(find(path, method), found));
  }

  test('Allow names each method once', () => {
    const twice = tableOf(
      { paths: ['/a'], id: 'host', hosts: [HOST], methods: ['GET', 'POST'] },
      { paths: ['/a'], id: 'any', methods: ['GET', 'PUT'] },
    );
    assert.equal(twice('/a', 'DELETE'), '405 GET, POST, PUT');
  });

  test('one search leaves nothing behind for the next', () => {
    assert.equal(find('/a', 'DELETE'), '405 GET, HEAD, POST');
    assert.equal(find('/zzz', 'DELETE'), 'none');
  });
});

test('a compiled route carries its rule, its addresses and its public targets', () => {
  const table = compileRoutes([
    routeOf({
      id: 'r',
      paths: ['/a/*'],
      roles: ['admin'],
      groups: ['ops'],
      scopes: ['s'],
      allowIps: ['10.0.0.0/8'],
      public: [{ method: 'GET', path: '/a/ping' }],
    }),
    routeOf({ id: 'open', paths: ['/open'] }),
  ]);
  const match = table.find(HOST, '/a/x', 'GET');
  assert.ok(match.kind === 'route');
  assert.deepEqual(match.compiled.rule, {
    roles: ['admin'],
    groups: ['ops'],
    scopes: ['s'],
    acr: [],
    maxAgeMs: undefined,
  });
  assert.equal(match.compiled.allowsAddress?.(parseAddress('10.1.2.3') ?? new Uint8Array()), true);
  assert.equal(match.compiled.allowsAddress?.(parseAddress('11.1.2.3') ?? new Uint8Array()), false);
  assert.deepEqual([...match.compiled.publicTargets], ['GET /a/ping']);
  const open = table.find(HOST, '/open', 'GET');
  assert.ok(open.kind === 'route');
  assert.equal(open.compiled.allowsAddress, undefined);
  assert.equal(table.size, 2);
  assert.equal(compileRoutes([]).find(HOST, '/', 'GET').kind, 'none');
});

/** How each segment matched: 0 literal or the end, 1 `:name`, 2 the rest; undefined if the pattern does not match. */
function shapeOf(pattern: string, path: string): string | undefined {
  const isOpen = pattern.endsWith('/*');
  const wanted = (isOpen ? pattern.slice(0, -2) : pattern).split('/').slice(1);
  const given = path.split('/').slice(1);
  if (isOpen ? given.length < wanted.length : given.length !== wanted.length) return undefined;
  let shape = '';
  for (const [index, segment] of wanted.entries()) {
    if (segment.startsWith(':') ? given[index] === '' : segment !== given[index]) return undefined;
    shape += segment.startsWith(':') ? '1' : '0';
  }
  return shape + (isOpen ? '2' : '0');
}

function hostRank(pattern: string | undefined, host: string): number | undefined {
  if (pattern === undefined) return 2;
  if (!pattern.startsWith('*.')) return pattern === host ? 0 : undefined;
  const [, ...rest] = host.split('.');
  return rest.join('.') === pattern.slice(2) ? 1 : undefined;
}

/** D-39 said plainly: try every route and sort. */
function findPlainly(routes: readonly Route[], host: string, path: string, method: string): string {
  const found = routes.flatMap((route) => {
    const hosts: (string | undefined)[] = route.hosts.length === 0 ? [undefined] : [...route.hosts];
    return route.paths.flatMap((pattern) =>
      hosts.flatMap((name) => {
        const shape = shapeOf(pattern, path);
        const rank = hostRank(name, host);
        return shape === undefined || rank === undefined ? [] : [{ route, key: `${shape} ${rank}`, shape }];
      }),
    );
  });
  const best = found.map(({ shape }) => shape).sort()[0];
  const candidates = found.filter(({ shape }) => shape === best);
  const keyOf = ({ route, key }: (typeof found)[number]): string => `${key} ${route.methods.length === 0 ? 1 : 0}`;
  candidates.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const match = candidates.find(({ route }) => route.methods.length === 0 || route.methods.includes(method));
  if (match !== undefined) return match.route.id;
  const allow = new Set(candidates.flatMap(({ route }) => route.methods));
  return allow.size === 0 ? 'none' : `405 ${[...allow].sort().join(', ')}`;
}

const segment = fc.constantFrom('a', 'b', ':x', ':y');
const pattern = fc
  .tuple(fc.array(segment, { maxLength: 3 }), fc.constantFrom('', '/*', '/*'))
  .map(([segments, end]) => segments.map((name) => `/${name}`).join('') + end || '/');
const hosts = fc.constantFrom([], [], [HOST], ['*.example.test'], ['b.test'], [HOST, '*.b.test']);
const methods = fc.constantFrom([], [], ['GET'], ['POST'], ['PUT']);
const drafts = fc.array(fc.record({ pattern, hosts, methods }), { minLength: 1, maxLength: 7 });
const request = fc.record({
  host: fc.constantFrom(HOST, 'x.example.test', 'b.test', 'y.b.test'),
  path: fc.array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 4 }).map((segments) => `/${segments.join('/')}`),
  method: fc.constantFrom('GET', 'POST', 'DELETE'),
});

/** Only what the configuration lets through: no two equal in host, shape and method. */
function withoutTies(
  list: readonly { pattern: string; hosts: readonly string[]; methods: readonly string[] }[],
): Route[] {
  const taken = new Set<string>();
  return list.flatMap((draft, index) => {
    const shape = draft.pattern.replace(/:[xy]/g, ':');
    const names = draft.hosts.length === 0 ? [''] : draft.hosts;
    const verbs = draft.methods.length === 0 ? [''] : draft.methods;
    const keys = names.flatMap((name) => verbs.map((verb) => `${name} ${shape} ${verb}`));
    if (keys.some((key) => taken.has(key))) return [];
    for (const key of keys) taken.add(key);
    return [routeOf({ id: `r${index}`, paths: [draft.pattern], hosts: draft.hosts, methods: draft.methods })];
  });
}

describe('properties of the route table', () => {
  test('it agrees with trying every route and sorting', () => {
    fc.assert(
      fc.property(drafts, request, (list, { host, path, method }) => {
        if (path.includes('//')) return;
        const routes = withoutTies(list);
        const [kind = '', ...allow] = brief(compileRoutes(routes).find(host, path, method)).split(/,? /);
        assert.equal([kind, allow.sort().join(', ')].join(' ').trim(), findPlainly(routes, host, path, method));
      }),
      { numRuns: 10_000 },
    );
  });

  test('the order of the file decides nothing', () => {
    fc.assert(
      fc.property(drafts, request, (list, { host, path, method }) => {
        const routes = withoutTies(list);
        const forwards = brief(compileRoutes(routes).find(host, path, method));
        const backwards = brief(compileRoutes([...routes].reverse()).find(host, path, method));
        if (!forwards.startsWith('405')) assert.equal(backwards, forwards);
        else assert.deepEqual(backwards.split(/,? /).sort(), forwards.split(/,? /).sort());
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a look-up takes as many steps among 1,000 routes as among 10', () => {
  type Shape = (at: number) => Partial<Route> & { paths: string[] };
  const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
  const shapes: Readonly<Record<string, Shape>> = {
    'of one shape on many hosts': (at) => ({ paths: ['/*'], hosts: [`h${at}.example.test`] }),
    'of one shape on many host patterns': (at) => ({ paths: ['/a/:b/*'], hosts: [`*.h${at}.example.test`] }),
    'of one shape, apart by host and method': (at) => ({
      paths: ['/a'],
      hosts: [`h${Math.floor(at / METHODS.length)}.example.test`],
      methods: [METHODS[at % METHODS.length] as string],
    }),
    'side by side': (at) => ({ paths: [`/team/app-${at}/:id/*`] }),
  };
  const asked: readonly (readonly [string, string, string])[] = [
    ['h1.example.test', '/a', 'GET'],
    ['h1.example.test', '/a/x/y', 'TRACE'],
    ['x.h1.example.test', '/a/x/y', 'POST'],
    ['none.example.test', '/team/app-1/7/z', 'GET'],
    ['none.example.test', '/none', 'GET'],
  ];

  /** Every look-up in a map, and every look at a route, which are all that a find consists of. */
  function steps(count: number, shape: Shape): number[] {
    let calls = 0;
    const counted = (route: Route): Route =>
      new Proxy(route, {
        get(target, key) {
          calls += 1;
          return Reflect.get(target, key);
        },
      });
    const routes = Array.from({ length: count }, (_, at) => counted(routeOf({ id: `r${at}`, ...shape(at) })));
    const table = compileRoutes(routes);
    const { get, keys } = Map.prototype;
    const counting = function (this: Map<unknown, unknown>, key: unknown): unknown {
      calls += 1;
      return get.call(this, key);
    };
    const countingKeys = function (this: Map<unknown, unknown>) {
      calls += this.size;
      return keys.call(this);
    };
    Object.assign(Map.prototype, { get: counting, keys: countingKeys });
    try {
      return asked.map(([host, path, method]) => {
        calls = 0;
        table.find(host, path, method);
        return calls;
      });
    } finally {
      Object.assign(Map.prototype, { get, keys });
    }
  }

  for (const [name, shape] of Object.entries(shapes)) {
    test(name, () => {
      const few = steps(10, shape);
      assert.deepEqual(steps(1000, shape), few);
      assert.ok(few.some((count) => count > 0));
    });
  }
});
