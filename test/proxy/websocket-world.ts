import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import { type ProxyWorld, startProxyWorld, type TestAnswer } from './world.ts';

/** A service that speaks WebSocket; what it does with a connection is decided by path. */
export type SocketService = {
  readonly url: string;
  readonly port: number;
  /** Handshakes it accepted, oldest first. */
  readonly seen: IncomingMessage[];
  /** Sockets that are open now. */
  readonly open: ReadonlySet<WebSocket>;
  /** Close codes and reasons as the service saw them, oldest first. */
  readonly closes: { readonly code: number; readonly reason: string }[];
  /** Sockets to this exact path get this treatment instead of the echo. */
  on(path: string, act: (socket: WebSocket, request: IncomingMessage) => void): void;
  close(): Promise<void>;
};

/** Start a service on a free port of loopback that echoes every message. */
export async function startSocketService(): Promise<SocketService> {
  const server: Server = createServer((_request, response) => void response.writeHead(404).end());
  const sockets = new WebSocketServer({
    server,
    maxPayload: 64 * 1024 * 1024,
    handleProtocols: (offered) => (offered.has('chat.v2') ? 'chat.v2' : ([...offered][0] ?? false)),
  });
  const acts = new Map<string, (socket: WebSocket, request: IncomingMessage) => void>();
  const seen: IncomingMessage[] = [];
  const closes: { code: number; reason: string }[] = [];
  sockets.on('connection', (socket, request) => {
    seen.push(request);
    socket.on('error', () => {});
    socket.on('close', (code, reason) => closes.push({ code, reason: reason.toString('utf8') }));
    const act = acts.get(request.url ?? '');
    if (act !== undefined) act(socket, request);
    else socket.on('message', (data, isBinary) => socket.send(data as Buffer, { binary: isBinary }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    seen,
    open: sockets.clients,
    closes,
    on: (path, act) => void acts.set(path, act),
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** How a socket is opened; as alice from the site's own page unless told otherwise. */
export type ConnectOptions = ClientOptions & {
  readonly cookie?: string;
  readonly subprotocols?: string[];
  /** Gets every message, the earliest too. */
  readonly onMessage?: (data: Buffer) => void;
};

/** A Sallyport with WebSocket routes in front of an echo. */
export type SocketWorld = {
  readonly world: ProxyWorld;
  readonly service: SocketService;
  readonly alice: string;
  readonly bob: string;
  /** An open socket; rejects with `status code` if the handshake is refused. */
  connect(path: string, options?: ConnectOptions): Promise<WebSocket>;
  /** The answer to a handshake with these headers, as plain HTTP; status 101 if it was accepted. */
  handshake(path: string, headers: Readonly<Record<string, string>>, method?: string): Promise<TestAnswer>;
  close(): Promise<void>;
};

/** Largest message of the route `/echo`. */
export const MESSAGE_MAX_BYTES = 16 * 1024 * 1024;

/** Start the world of the WebSocket tests. `routes` and `services` come before its own. */
export async function startSocketWorld(
  more: { routes?: readonly object[]; services?: Readonly<Record<string, object>>; settings?: object } = {},
): Promise<SocketWorld> {
  const service = await startSocketService();
  const one = { target_service: 'echo', methods: ['GET'] };
  const world = await startProxyWorld({
    services: {
      echo: { urls: [service.url], token: { source: 'session' } },
      plain: { urls: [service.url], token: { source: 'none' } },
      ...more.services,
    },
    routes: [
      ...(more.routes ?? []),
      { id: 'echo', paths: ['/echo/*'], ...one, websocket: { max_message: '16MiB' } },
      { id: 'small', paths: ['/small/*'], ...one, websocket: { max_message: '1KiB' } },
      { id: 'chat', paths: ['/chat'], ...one, websocket: { subprotocols: ['chat.v1', 'chat.v2'] } },
      { id: 'cookie', paths: ['/cookie'], ...one, websocket: { token_in: 'cookie:jwt' } },
      { id: 'active', paths: ['/active'], ...one, websocket: { counts_as_activity: true } },
      { id: 'admin', paths: ['/admin'], ...one, roles: ['admin'], websocket: {} },
      { id: 'login', paths: ['/login'], ...one, on_unauthenticated: 'login', websocket: {} },
      { id: 'brief', paths: ['/brief'], ...one, websocket: { idle: '8s' } },
      { id: 'any', paths: ['/any'], target_service: 'echo', websocket: {} },
      { id: 'old', paths: ['/old/*'], ...one, rewrite: { prefix: '/old', to: '/v1' }, auth: 'none', websocket: {} },
      { id: 'open', paths: ['/open/*'], target_service: 'plain', auth: 'none', websocket: { max_message: '16MiB' } },
      { id: 'http', paths: ['/http/*'], target_service: 'plain', auth: 'none' },
    ],
    ...(more.settings === undefined ? {} : { settings: more.settings }),
  });
  const [alice, bob] = [await world.signIn('alice'), await world.signIn('bob')];
  return {
    world,
    service,
    alice,
    bob,
    connect: (path, options = {}) => connect(world, path, { cookie: alice, ...options }),
    handshake: (path, headers, method = 'GET') => handshake(world.port, path, headers, method),
    async close() {
      await world.close();
      await service.close();
    },
  };
}

function connect(world: ProxyWorld, path: string, options: ConnectOptions): Promise<WebSocket> {
  const { cookie = '', subprotocols = [], onMessage, headers, ...rest } = options;
  const socket = new WebSocket(`ws://127.0.0.1:${world.port}${path}`, subprotocols, {
    origin: world.origin,
    perMessageDeflate: false,
    headers: { cookie, ...headers },
    ...rest,
  });
  if (onMessage !== undefined) socket.on('message', (data) => onMessage(data as Buffer));
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('unexpected-response', (outgoing, response) => {
      outgoing.destroy();
      reject(new Error(`status ${response.statusCode}`));
    });
    socket.on('open', () => resolve(socket));
  });
}

function handshake(
  port: number,
  path: string,
  headers: Readonly<Record<string, string>>,
  method: string,
): Promise<TestAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: '127.0.0.1', port, path, method, headers, agent: false });
    const take = (response: IncomingMessage, body: Buffer): void => {
      const { statusCode: status = 0, headers, rawHeaders } = response;
      resolve({ status, headers, rawHeaders, body });
    };
    outgoing.on('error', reject);
    outgoing.on('upgrade', (response, socket) => {
      socket.destroy();
      take(response, Buffer.alloc(0));
    });
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => take(response, Buffer.concat(chunks)));
    });
    outgoing.end();
  });
}

/** Headers of a good handshake from the site's own page. */
export function goodHandshake(origin: string, cookie: string): Record<string, string> {
  return {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    origin,
    cookie,
  };
}

/** The next message of a socket. */
export async function nextMessage(socket: WebSocket): Promise<{ data: Buffer; isBinary: boolean }> {
  const [data, isBinary] = (await once(socket, 'message')) as [Buffer, boolean];
  return { data, isBinary };
}

/** How a socket ended. */
export async function closeOf(socket: WebSocket): Promise<string> {
  const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
  return `${code} ${reason.toString('utf8')}`.trimEnd();
}
