// The example of routes.yaml: it loads, says what the contract says, and each of its routes is walked.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { NOT_AVAILABLE } from '../../src/core/config/availability.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import { compileRoutes } from '../../src/core/routes.ts';
import { targetOf } from '../../src/proxy/target.ts';
import { readProject } from '../support/docs.ts';

const EXAMPLE = readProject('config/routes.example.yaml');
const SEAL = 'kJ0sTQv3m2Yw8bZ1rXn4LcA7uHdE6pGf9oIiSxVyBQM';
const FILES: Readonly<Record<string, string>> = {
  'settings.yaml': `version: 1
sites: {main: {public_url: https://app.example.com, hosts: [app.example.com, grafana.example.com], cookie: {domain: example.com}}}
keys: {seal: [{id: k1, secret: ${SEAL}}]}
`,
  'idps.yaml': `version: 1
providers: {staff: {issuer: https://id.example.com, client_id: a, client_auth: {secret: of-some-length-and-more}}}
`,
  'routes.yaml': EXAMPLE,
};

const config = loadConfig({
  directory: '/etc/sallyport',
  environment: {},
  readFile(path) {
    const text = FILES[path.slice(path.lastIndexOf('/') + 1)];
    return text === undefined ? { problem: 'does not exist', absent: true } : { bytes: Buffer.from(text) };
  },
});

/** [request, route, service, path that is sent, roles or groups] */
const WALK: readonly (readonly [string, string, string, string, string?])[] = [
  ['GET /api/crud/workflows', 'crud', 'crud_service', '/api/crud/workflows'],
  ['POST /api/crud/workflows/7/run', 'crud', 'crud_service', '/api/crud/workflows/7/run'],
  ['GET /api/crud/pages/1', 'crud', 'crud_service', '/api/crud/pages/1'],
  ['GET /api/crud/tasks/1', 'crud', 'crud_service', '/api/crud/tasks/1'],
  ['GET /api/crud/runs/1', 'crud', 'crud_service', '/api/crud/runs/1'],
  ['GET /api/crud/workflow_runs/1', 'crud', 'crud_service', '/api/crud/workflow_runs/1'],
  ['PUT /api/crud/credentials/1', 'crud', 'crud_service', '/api/crud/credentials/1'],
  ['PATCH /api/crud/commands/1', 'crud', 'crud_service', '/api/crud/commands/1'],
  ['DELETE /api/crud/tools/1', 'crud', 'crud_service', '/api/crud/tools/1'],
  ['HEAD /api/crud/agents', 'crud', 'crud_service', '/api/crud/agents'],
  ['GET /api/crud/labs/ldap/users', 'crud', 'crud_service', '/api/crud/labs/ldap/users'],
  ['POST /api/crud/execute', 'crud', 'crud_service', '/api/crud/execute'],
  ['OPTIONS /api/crud/execute', '405 GET, HEAD, POST, PUT, PATCH, DELETE', '', ''],
  ['POST /api/crud/execute/now', 'api', 'backend', '/api/crud/execute/now'],
  ['GET /api/crud/labs/other', 'api', 'backend', '/api/crud/labs/other'],
  ['GET /api/crud/workflowsx', 'api', 'backend', '/api/crud/workflowsx'],
  ['GET /api/agents', 'agents_legacy', 'crud_service', '/api/crud/agents'],
  ['DELETE /api/agents/7?x=/api/agents', 'agents_legacy', 'crud_service', '/api/crud/agents/7?x=/api/agents'],
  ['GET /api/v1/analytics/reports?from=1', 'api-analytics', 'analytics_service', '/api/v1/analytics/reports?from=1'],
  ['GET /api/v1/analytics/ping', 'api-analytics', 'analytics_service', '/api/v1/analytics/ping', 'public'],
  ['POST /api/v1/analytics/ping', 'api-analytics', 'analytics_service', '/api/v1/analytics/ping'],
  ['PUT /api/v1/analytics/ping', '405 GET, HEAD, POST', '', ''],
  ['POST /access/v1/evaluation', 'access_evaluation', 'pdp_app', '/access/v1/evaluation'],
  ['GET /access/v1/evaluation', '405 POST', '', ''],
  ['GET /access/v1/evaluation/x', 'spa', 'spa', '/access/v1/evaluation/x', 'none'],
  ['GET /chat', 'chat', 'chat_service', '/chat'],
  ['GET /ws/mcp-status', 'mcp-status', 'backend', '/ws/mcp-status', 'none'],
  ['GET /admin/api', 'admin-api', 'admin_api', '/admin/api', 'admin'],
  ['DELETE /admin/api/users/7', 'admin-api', 'admin_api', '/admin/api/users/7', 'admin'],
  ['GET /admin', 'admin-web', 'admin_web', '/admin', 'admin'],
  ['GET /admin/users', 'admin-web', 'admin_web', '/admin/users', 'admin'],
  ['POST /admin/users', '405 GET, HEAD', '', ''],
  ['GET /administrator', 'spa', 'spa', '/administrator', 'none'],
  ['PUT /api/anything/else', 'api', 'backend', '/api/anything/else'],
  ['GET /apis', 'spa', 'spa', '/apis', 'none'],
  ['GET /', 'spa', 'spa', '/', 'none'],
  ['GET /assets/app.js', 'spa', 'spa', '/assets/app.js', 'none'],
  ['POST /', '405 GET, HEAD', '', ''],
  ['GET grafana.example.com/d/1', 'grafana', '', '/d/1', 'ops'],
];

describe('the example of routes.yaml', () => {
  test('loads, and names the routes that any signed-in user may use', () => {
    const open = 'crud, agents_legacy, api-analytics, access_evaluation, chat, api';
    assert.deepEqual(
      config.warnings.filter((line) => line.startsWith('routes.yaml')).map((line) => line.split(': ').at(-1)),
      [open],
    );
  });

  const routes = compileRoutes(config.routes);
  for (const [request, id, service, sent, who] of WALK) {
    test(`${request} is ${id}`, () => {
      const [, method = '', host = 'app.example.com', path = '', query = ''] =
        /^(\S+) ([a-z.]+)?([^?]*)\??(.*)$/.exec(request) ?? [];
      const match = routes.find(host, path, method);
      if (match.kind !== 'route') {
        assert.equal(match.kind === 'method' ? `405 ${match.allow}` : '404', id);
        return;
      }
      const { route, publicTargets } = match.compiled;
      const isPublic = publicTargets.has(`${method} ${path}`);
      const rule = [...route.roles, ...route.groups].join() || (isPublic ? 'public' : route.auth);
      assert.deepEqual(
        [route.id, route.service ?? '', targetOf({ query }, path, route.rewrite), rule],
        [id, service, sent, who ?? 'session'],
      );
    });
  }

  test('walks every route', () => {
    const walked = new Set(WALK.map(([, id]) => id));
    assert.deepEqual(
      config.routes.map(({ id }) => id).filter((id) => !walked.has(id)),
      [],
    );
  });

  test('is the contract, but for what this version does not have', () => {
    const contract = readProject('test/fixtures/contract/routes.yaml');
    const gated = NOT_AVAILABLE['routes.yaml']?.map(({ path }) =>
      path.split('.').at(path.includes('.token.') ? -2 : -1),
    );
    const without = (text: string): unknown =>
      JSON.parse(JSON.stringify(parse(text), (key, value) => (gated?.includes(key) === true ? undefined : value)));
    assert.deepEqual(without(EXAMPLE), without(contract));
  });
});
