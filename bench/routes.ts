import { compileRoutes } from '../src/core/routes.ts';
import { routeOf } from '../test/core/world.ts';
import type { MicroBench, MicroGroup } from './lib/micro.ts';

const HOST = 'app.example.com';

/** Finding the route of a path. */
export const routesBench: MicroBench = {
  name: 'routes',
  createGroups: () => [groupOf(10), groupOf(1_000), hostsOf(10), hostsOf(1_000)],
};

function groupOf(count: number): MicroGroup {
  const routes = Array.from({ length: count }, (_, at) => {
    return routeOf({ id: `r${at}`, paths: [`/team-${at % 50}/app-${at}/:item/*`, `/exact-${at}`] });
  });
  const table = compileRoutes(routes);
  const expressions = routes.flatMap(({ id, paths }) => paths.map((path) => ({ id, expression: expressionOf(path) })));
  const step = count / 5;
  const paths = Array.from({ length: 5 }, (_, at) => [
    `/team-${(at * step) % 50}/app-${at * step}/17/edit`,
    `/exact-${at * step + step - 1}`,
    `/none-${at}/of/them`,
  ]).flat();
  return {
    name: `${count} routes`,
    calls: paths.length,
    ways: {
      'tree by segment (shipped)': () =>
        paths.map((path) => {
          const match = table.find(HOST, path, 'GET');
          return match.kind === 'route' ? match.compiled.route.id : '';
        }),
      'list of expressions': () =>
        paths.map((path) => expressions.find(({ expression }) => expression.test(path))?.id ?? ''),
    },
  };
}

/** Routes of one shape, told apart by their hosts alone. */
function hostsOf(count: number): MicroGroup {
  const host = (at: number): string => `app-${at}.example.com`;
  const routes = Array.from({ length: count }, (_, at) => routeOf({ id: `h${at}`, hosts: [host(at)], paths: ['/*'] }));
  const table = compileRoutes(routes);
  const hosts = Array.from({ length: 5 }, (_, at) => host(at * (count / 5) + count / 5 - 1));
  return {
    name: `${count} hosts of one path`,
    calls: hosts.length,
    ways: {
      'by host (shipped)': () =>
        hosts.map((name) => {
          const match = table.find(name, '/any/path', 'GET');
          return match.kind === 'route' ? match.compiled.route.id : '';
        }),
      'one after the other': () =>
        hosts.map((name) => routes.find((route) => route.hosts.some((one) => one === name))?.id ?? ''),
    },
  };
}

function expressionOf(path: string): RegExp {
  return new RegExp(`^${path.replace(/:\w+/g, '[^/]+').replace(/\/\*$/, '(?:/.*)?')}$`);
}
