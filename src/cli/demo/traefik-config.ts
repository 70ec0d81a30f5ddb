/** Loopback ports of the parts that Traefik stands in front of. */
export type TraefikPorts = {
  /** Its own entry point. */
  readonly entry: number;
  /** Sallyport's public listener: sign-in pages and `/api/**`. */
  readonly sallyport: number;
  /** Sallyport's verify listener, asked by ForwardAuth and reachable through no router. */
  readonly verify: number;
  readonly spa: number;
  readonly dashboard: number;
};

/** The headers that ForwardAuth copies from verify's 200 and, first, deletes from the client's request. */
export const AUTH_RESPONSE_HEADERS: readonly string[] = [
  'Authorization',
  'X-User-Id',
  'X-User-Username',
  'X-User-Email',
  'X-User-Role',
  'X-User-Roles',
  'X-Auth-Session',
];

/**
 * What verify reads of the client's request, besides the headers that Traefik writes itself. Without this list it is sent
 * everything, which costs both sides up to half of a verify request over HTTP/2.
 */
export const AUTH_REQUEST_HEADERS: readonly string[] = [
  'Cookie',
  'Authorization',
  'DPoP',
  'Origin',
  'Referer',
  'Accept',
  'User-Agent',
  'Sec-Fetch-Site',
  'Sec-Fetch-Mode',
  'Sec-Fetch-Dest',
  'Sec-Purpose',
  'Sec-WebSocket-Key',
  'Access-Control-Request-Method',
  'Access-Control-Request-Headers',
  'X-CSRF',
  'X-Sallyport-Secret',
  'X-Forwarded-Tls-Client-Cert',
  'Client-Cert',
];

/** Host name under which the demo is opened. */
export const DEMO_HOST = 'localhost';

/** Traefik's static configuration: one plain-http entry point on loopback, one watched-by-nobody file, no calls home. */
export function compileStaticConfig(ports: TraefikPorts, dynamicFile: string): Record<string, unknown> {
  return {
    global: { checkNewVersion: false, sendAnonymousUsage: false },
    log: { level: 'ERROR' },
    entryPoints: {
      web: {
        address: `127.0.0.1:${ports.entry}`,
        http: { aliasHeadersStrategy: 'delete' },
        transport: { lifeCycle: { graceTimeOut: '250ms' } },
      },
    },
    providers: { file: { filename: dynamicFile, watch: false } },
  };
}

/**
 * Traefik's routers, middlewares and services (SPEC §15, GATEWAYS §1). Priorities are explicit, highest first: other
 * host names, the deny rule for verify, Sallyport, the dashboard under ForwardAuth, the static application.
 */
export function compileDynamicConfig(ports: TraefikPorts): Record<string, unknown> {
  return {
    http: {
      routers: compileRouters(),
      middlewares: compileMiddlewares(ports),
      services: {
        sallyport: service(ports.sallyport),
        spa: service(ports.spa),
        dashboard: service(ports.dashboard),
      },
    },
  };
}

function compileRouters(): Record<string, unknown> {
  const host = `Host(\`${DEMO_HOST}\`)`;
  const under = (path: string): string => `Path(\`${path}\`) || PathPrefix(\`${path}/\`)`;
  return {
    // The session cookie and the provider's redirect belong to one host name; its numeric twin only leads there.
    'other-host': router('Host(`127.0.0.1`)', 500, 'noop@internal', ['to-demo-host']),
    'verify-denied': router(
      `${host} && (${['verify', 'forward', 'validate'].map((name) => under(`/auth/${name}`)).join(' || ')})`,
      400,
      'noop@internal',
      ['nobody'],
    ),
    auth: router(`${host} && PathPrefix(\`/auth/\`)`, 300, 'sallyport'),
    api: router(`${host} && PathPrefix(\`/api/\`)`, 300, 'sallyport'),
    dashboard: router(`${host} && (${under('/dashboard')})`, 200, 'dashboard', ['sign-in']),
    spa: router(host, 1, 'spa'),
  };
}

function compileMiddlewares(ports: TraefikPorts): Record<string, unknown> {
  return {
    'sign-in': {
      forwardAuth: {
        address: `http://127.0.0.1:${ports.verify}/auth/verify`,
        // Every X-Forwarded-* of the client is dropped and written anew, so verify sees this gateway's word alone.
        trustForwardHeader: false,
        authRequestHeaders: AUTH_REQUEST_HEADERS,
        authResponseHeaders: AUTH_RESPONSE_HEADERS,
        maxResponseBodySize: 65_536,
      },
    },
    // An allow-list that holds no address that a client can have: 403 for everybody.
    nobody: { ipAllowList: { sourceRange: ['255.255.255.255/32'] } },
    'to-demo-host': {
      redirectRegex: {
        regex: '^http://127\\.0\\.0\\.1(:\\d+)?/(.*)',
        replacement: `http://${DEMO_HOST}\${1}/\${2}`,
      },
    },
  };
}

function router(rule: string, priority: number, service: string, middlewares: readonly string[] = []): unknown {
  const base = { entryPoints: ['web'], rule, priority, service };
  return middlewares.length === 0 ? base : { ...base, middlewares };
}

function service(port: number): unknown {
  return { loadBalancer: { servers: [{ url: `http://127.0.0.1:${port}` }] } };
}
