import { describe } from 'node:test';
import { type Refusal, routes, SETTINGS, testRefusals } from './support.ts';

const CASES: readonly Refusal[] = [
  {
    name: 'a service that does not exist',
    sources: { routes: routes('  - {id: a, paths: [/a], target_service: apo}\n') },
    lines: [
      'routes.yaml:5:42 routes[0].target_service: "apo" is no service of this file, expected api, choose one of them or add it',
    ],
  },
  {
    name: 'a service that is no origin, a route without id',
    sources: { routes: 'version: 1\nservices:\n  api: {urls: ["http://api:8000/base"]}\nroutes:\n  - paths: [/a]\n' },
    lines: [
      'routes.yaml:3:16 services.api.urls[0]: "http://api:8000/base" has a path, expected an origin such as http://crud:8000, write scheme, host and port only',
      'routes.yaml:5:5 routes[0].id: is missing, expected letters, digits, . - and _, at most 64, add the line',
    ],
  },
  {
    name: 'one id twice',
    sources: { routes: routes('  - {id: a, paths: [/a]}\n  - {id: a, paths: [/b]}\n') },
    lines: ['routes.yaml:6:10 routes[1].id: "a" is the id of routes.yaml:5:5 too, expected unique ids, rename one'],
  },
  {
    name: 'paths outside the grammar',
    sources: {
      routes: routes(
        '  - id: a\n    paths:\n      - a\n      - /a/\n      - /a/*/b\n      - /{a,b\n      - /{a,}\n      - /:1\n      - /:x/:x\n      - /a/../b\n      - /a%2Fb\n',
      ),
    },
    lines: [
      'routes.yaml:7:9 routes[0].paths[0]: "a" does not begin with a slash, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:8:9 routes[0].paths[1]: "/a/" ends with a slash, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:9:9 routes[0].paths[2]: "/a/*/b" has a * elsewhere than in a final /*, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:10:9 routes[0].paths[3]: "/{a,b" has unusable braces, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:11:9 routes[0].paths[4]: "/{a,}" has unusable braces, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:12:9 routes[0].paths[5]: "/:1" has an unusable parameter name, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:13:9 routes[0].paths[6]: "/:x/:x" has the parameter :x twice, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:14:9 routes[0].paths[7]: "/a/../b" is not a canonical path, expected literals, {a,b}, :name, and a final /*, correct the path',
      'routes.yaml:15:9 routes[0].paths[8]: "/a%2Fb" is not a canonical path, expected literals, {a,b}, :name, and a final /*, correct the path',
    ],
  },
  {
    name: 'two equal routes',
    sources: {
      routes: routes(
        '  - {id: a, hosts: [app.example.com], paths: ["/x/:id/{a,b}"], methods: [GET, POST]}\n  - {id: b, hosts: [APP.example.com], paths: [/x/:name/b], methods: [GET]}\n',
      ),
    },
    lines: [
      'routes.yaml:6:47 routes[1].paths[0]: "/x/:name/b" equals /x/:id/b of route a (routes.yaml:5:5) in host, path and method, expected paths that one route alone matches best, remove or change one of the two',
    ],
  },
  {
    name: 'one path twice in a route',
    sources: { routes: routes('  - {id: a, paths: [/a, "/{a,b}"]}\n') },
    lines: [
      'routes.yaml:5:25 routes[0].paths[1]: "/{a,b}" holds /a, which this route has already, expected paths that one route alone matches best, remove or change one of the two',
    ],
  },
  {
    name: 'a path that is ours',
    sources: { routes: routes('  - {id: a, paths: [/auth/x, /api/auth/*, /health]}\n') },
    lines: [
      'routes.yaml:5:21 routes[0].paths[0]: "/auth/x" is never reached: /auth is an address of Sallyport itself, expected other paths, change it, or `paths` of settings.yaml',
      'routes.yaml:5:30 routes[0].paths[1]: "/api/auth/*" is never reached: /api/auth is an address of Sallyport itself, expected other paths, change it, or `paths` of settings.yaml',
      'routes.yaml:5:43 routes[0].paths[2]: "/health" is never reached: /health is an address of Sallyport itself, expected other paths, change it, or `paths` of settings.yaml',
    ],
  },
  {
    name: 'rate limits where nothing can be counted, or for longer than anybody remembers',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a], rate_limit: {average: 1, period: 1s, burst: 1, key: user}}\n' +
          '  - {id: b, paths: [/b], target_service: api, auth: none, rate_limit: {average: 1, period: 1s, burst: 1, key: session}}\n' +
          '  - {id: c, paths: [/c], target_service: api, rate_limit: {average: 1, period: 1h, burst: 200, key: session}}\n',
      ),
    },
    lines: [
      'routes.yaml:5:26 routes[0].rate_limit: a rate limit without target_service, expected a service: requests that verify decides are not counted, add target_service, or limit the rate at the gateway',
      'routes.yaml:6:111 routes[1].rate_limit.key: "session" is not known here, expected client_ip, change it',
      'routes.yaml:7:91 routes[2].rate_limit.burst: 200 at once come back only after more than a week, expected burst × period ÷ average of at most 7d, reduce burst',
    ],
  },
  {
    name: 'a host of no site',
    sources: { routes: routes('  - {id: a, hosts: [other.example.com], paths: [/a]}\n') },
    lines: [
      'routes.yaml:5:21 routes[0].hosts[0]: "other.example.com" belongs to no site, expected a host of sites in settings.yaml, correct it or add it there',
    ],
  },
  {
    name: 'a host that is none',
    sources: { routes: routes('  - {id: a, hosts: ["bad host", "*.*.example.com"], paths: [/a]}\n') },
    lines: [
      'routes.yaml:5:21 routes[0].hosts[0]: "bad host" is not a host, expected a host such as app.example.com, or *.example.com for exactly one label, correct the host',
      'routes.yaml:5:33 routes[0].hosts[1]: "*.*.example.com" is not a host, expected a host such as app.example.com, or *.example.com for exactly one label, correct the host',
    ],
  },
  {
    name: 'a method nobody knows',
    sources: { routes: routes('  - {id: a, paths: [/a], methods: [get, TRACE]}\n') },
    lines: [
      'routes.yaml:5:36 routes[0].methods[0]: "get" is not a choice, expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, choose one',
      'routes.yaml:5:41 routes[0].methods[1]: "TRACE" is not a choice, expected GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, choose one',
    ],
  },
  {
    name: 'public addresses elsewhere',
    sources: {
      routes: routes(
        '  - id: a\n    paths: [/a/*]\n    methods: [GET]\n    public:\n      - {method: GET, path: /b}\n      - {method: POST, path: /a/ping}\n      - {method: GET, path: /a/*}\n',
      ),
    },
    lines: [
      'routes.yaml:9:29 routes[0].public[0].path: "/b" does not lie below this route, expected a path that one of its paths matches, correct it',
      'routes.yaml:10:18 routes[0].public[1].method: "POST" is no method of this route, expected GET, correct it',
    ],
  },
  {
    name: 'an address block that is none, an empty rule',
    sources: { routes: routes('  - {id: a, paths: [/a], allow_ips: [10.0.0.0/40], roles: []}\n') },
    lines: [
      'routes.yaml:5:38 routes[0].allow_ips[0]: "10.0.0.0/40" is not an address block, expected an address, a CIDR block such as 10.0.0.0/24, loopback or private, correct the address or the prefix length',
      'routes.yaml:5:52 routes[0].roles: the list is empty, expected 1 to 1000 different items, add an item, or remove the key',
    ],
  },
  {
    name: 'a rule about users on a public route',
    sources: { routes: routes('  - {id: a, paths: [/a], auth: none, roles: [admin]}\n') },
    lines: [
      'routes.yaml:5:38 routes[0].roles: a rule about users with auth: none, expected auth: session, change auth or remove the rule',
    ],
  },
  {
    name: 'no rule where rules are required',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a]}\n  - {id: b, paths: [/b], roles: [x]}\n  - {id: c, paths: [/c], auth: none}\nrequire_authorization: true\n',
      ),
    },
    lines: [
      'routes.yaml:5:5 routes[0]: no rule, but require_authorization is true, expected roles, groups, scopes or allow_ips, add one, or auth: none for a public route',
    ],
  },
  {
    name: 'a rewrite that does not fit',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a/*, /b], target_service: api, rewrite: {prefix: /a, to: /z}}\n  - {id: c, paths: [/c], rewrite: {prefix: /c, to: z}}\n',
      ),
    },
    lines: [
      'routes.yaml:5:71 routes[0].rewrite.prefix: "/a" is no beginning of /b, expected the beginning of every path of the route, correct it',
      'routes.yaml:6:52 routes[1].rewrite.to: "z" does not begin with a slash, expected a path such as /auth, begin with one slash, end without',
    ],
  },
  {
    name: 'TLS without TLS',
    sources: { routes: 'version: 1\nservices:\n  api: {urls: ["http://api:8000"], tls: {server_name: api}}\n' },
    lines: [
      'routes.yaml:3:36 services.api.tls: tls with an http:// URL, expected https://, change the URL or remove tls',
    ],
  },
  {
    name: 'certificates that are not checked, but trusted',
    sources: {
      routes:
        'version: 1\nservices:\n  api: {urls: ["https://api"], tls: {insecure: true, server_name: api}}\n  old: {urls: ["http://old"], tls: {insecure: true}}\n',
    },
    lines: [
      'routes.yaml:3:67 services.api.tls.server_name: has no meaning with insecure: true, expected one of the two, remove insecure',
      'routes.yaml:4:31 services.old.tls: tls with an http:// URL, expected https://, change the URL or remove tls',
    ],
  },
  {
    name: 'prefixes that are no prefix, have no service, or stand beside a rewrite',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a/*, /b], target_service: api, strip_prefix: /a}\n  - {id: c, paths: [/c], strip_prefix: /c}\n  - {id: d, paths: [/d], target_service: api, strip_prefix: /d, rewrite: {prefix: /d, to: /e}}\n',
      ),
    },
    lines: [
      'routes.yaml:5:67 routes[0].strip_prefix: "/a" is no beginning of /b, expected the beginning of every path of the route, correct it',
      'routes.yaml:6:40 routes[1].strip_prefix: a strip_prefix without target_service, expected a service, add target_service or remove strip_prefix',
      'routes.yaml:7:61 routes[2].strip_prefix: stands beside rewrite, expected one of the two, remove one of them',
    ],
  },
  {
    name: 'opaque paths where anything depends on the path',
    sources: {
      settings: SETTINGS.replace(
        'keys:',
        '    hosts: [app.example.com, git.example.com, "*.x.example.com"]\n    cookie: {domain: example.com}\nkeys:',
      ),
      routes: routes(
        '  - {id: a, paths: [/a/*], hosts: [git.example.com], path_mode: opaque}\n  - {id: b, paths: [/*], path_mode: opaque}\n  - {id: c, paths: [/*], hosts: [app.example.com], target_service: api, path_mode: opaque}\n  - {id: d, paths: [/*], hosts: [a.x.example.com], path_mode: opaque, public: [{method: GET, path: /x}]}\n  - {id: e, paths: [/*], hosts: ["*.x.example.com"], path_mode: opaque}\n  - {id: f, paths: [/f], hosts: [b.x.example.com]}\n',
      ),
    },
    lines: [
      'routes.yaml:5:5 routes[0]: path_mode: opaque on more or less than whole hosts, expected hosts, paths: [/*], and neither target_service nor public, use strict',
      'routes.yaml:6:5 routes[1]: path_mode: opaque on more or less than whole hosts, expected hosts, paths: [/*], and neither target_service nor public, use strict',
      'routes.yaml:7:5 routes[2]: path_mode: opaque on more or less than whole hosts, expected hosts, paths: [/*], and neither target_service nor public, use strict',
      'routes.yaml:8:5 routes[3]: path_mode: opaque on more or less than whole hosts, expected hosts, paths: [/*], and neither target_service nor public, use strict',
      'routes.yaml:9:5 routes[4]: path_mode: opaque on a host where f (routes.yaml:10:5) judges by the path, expected a host that it has alone, change the hosts of one of them',
    ],
  },
  {
    name: 'deadlines of a route that nothing keeps',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a], timeouts: {headers: 1s}}\n  - {id: b, paths: [/b], target_service: api, websocket: {}, timeouts: {connect: 1s, body_idle: 1s, total: 1s}}\n',
      ),
    },
    lines: [
      'routes.yaml:5:26 routes[0].timeouts: deadlines without target_service, expected a service, add target_service or remove timeouts',
      'routes.yaml:6:97 routes[1].timeouts.body_idle: has no meaning for a WebSocket, expected websocket.idle, remove the line',
      'routes.yaml:6:108 routes[1].timeouts.total: has no meaning for a WebSocket, expected websocket.idle, remove the line',
    ],
  },
  {
    name: 'bearer tokens where nobody accepts them, and on a proxied route',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a], auth: bearer}\n  - {id: b, paths: [/b], auth: any, target_service: api}\n',
      ),
    },
    lines: [
      'routes.yaml:5:5 routes[0]: auth: bearer without bearer tokens, expected bearer.enabled: true in idps.yaml, add it, or change auth',
      'routes.yaml:6:5 routes[1]: auth: any without bearer tokens, expected bearer.enabled: true in idps.yaml, add it, or change auth',
      'routes.yaml:6:5 routes[1]: auth: any, but api does not say for whom its tokens are meant, expected audience of services.api, add it, or change auth or token.source',
    ],
  },
  {
    name: 'WebSocket routes without a service, and with a proof that no handshake can carry',
    sources: {
      routes: routes(
        '  - {id: a, paths: [/a], websocket: {}}\n  - {id: b, paths: [/b], target_service: api, csrf: all, websocket: {}}\n',
      ),
    },
    lines: [
      'routes.yaml:5:26 routes[0].websocket: a WebSocket route without target_service, expected a service, add target_service or remove websocket',
      'routes.yaml:6:58 routes[1].websocket: a handshake cannot carry the proof that csrf: all asks for, expected csrf: unsafe, set csrf: unsafe on this route',
    ],
  },
  {
    name: 'features of later versions',
    sources: {
      routes: 'version: 1\nservices:\n  api: {urls: ["http://a:1"]}\nroutes:\n  - {id: a, paths: [/a], pdp: x}\n',
      pdp: 'version: 1\npoints: {main: {url: "http://pdp:8181"}}\n',
    },
    lines: [
      'routes.yaml:5:26 routes[0].pdp: not available in this version, expected no such key, remove the line',
      'pdp.yaml:2:1 points: not available in this version, expected nothing, remove the line',
    ],
  },
];

describe('routes.yaml is refused, with the exact lines', () => testRefusals(CASES));
