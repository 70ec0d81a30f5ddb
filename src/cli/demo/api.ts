import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRemoteJWKSet, customFetch, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { Agent, fetch } from 'undici';
import { createEcho, streamTicks, takeUpload } from './api-live.ts';
import { type RunningServer, readBody, startHttpServer } from './http-server.ts';
import { describeHeaders, readBearer, redactJwts } from './received.ts';

const ECHO_MAX_BYTES = 16 * 1024;

/** What the demo's API needs to check the tokens it gets. */
export type DemoApiOptions = {
  /** TCP port on loopback; 0 (default) lets the system choose. */
  readonly port?: number;
  /** Issuer of the access tokens it accepts; its keys are read from `jwksUri`. */
  readonly issuer: string;
  /** Default: `<issuer>/jwks`. */
  readonly jwksUri?: string;
  /** The `aud` a token must contain. */
  readonly audience: string;
};

type TokenCheck =
  | { readonly valid: true; readonly claims: JWTPayload }
  | { readonly valid: false; readonly reason: string };

/**
 * Starts an API that trusts nobody: each request needs an access token that it verifies itself (signature by the
 * issuer's keys, `typ` at+jwt, `iss`, `aud`, `exp`), else 401. It answers with what it received: method, path,
 * headers, the token's claims. No token or cookie value ever leaves it. `POST /api/echo` adds the body it got;
 * `POST /api/upload` counts one, `GET /api/events` is an event stream, and every WebSocket is an echo.
 * Errors: PortTakenError.
 */
export async function startDemoApi(options: DemoApiOptions): Promise<RunningServer> {
  // A pool of its own, closed with the server, so that no idle socket keeps a test or the demo alive.
  const agent = new Agent({ connect: { timeout: 2000 }, keepAliveTimeout: 1000 });
  const keys = createRemoteJWKSet(new URL(options.jwksUri ?? `${options.issuer}/jwks`), {
    timeoutDuration: 3000,
    cooldownDuration: 1000,
    [customFetch]: (url, init) => fetch(url, { ...init, dispatcher: agent } as never) as never,
  });
  const echo = createEcho();
  const server = await startHttpServer({
    port: options.port ?? 0,
    handler: (request, response) => answer(options, keys, request, response),
    upgrade: (request, socket, head) => {
      socket.on('error', () => socket.destroy());
      void checkToken(options, keys, readBearer(request)).then((check) => {
        if (check.valid) echo.accept(request, socket, head, String(check.claims.sub));
        else socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n');
      });
    },
  });
  return {
    port: server.port,
    async close() {
      echo.close();
      await Promise.all([server.close(), agent.close()]);
    },
  };
}

async function answer(
  options: DemoApiOptions,
  keys: JWTVerifyGetKey,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const check = await checkToken(options, keys, readBearer(request));
  const received = {
    method: request.method,
    path: redactJwts(request.url ?? '/'),
    headers: Object.fromEntries(joinRepeated(describeHeaders(request))),
    token_valid: check.valid,
    at: new Date().toISOString(),
  };
  if (!check.valid) {
    response.setHeader('www-authenticate', 'Bearer error="invalid_token"');
    sendJson(response, 401, { ...received, detail: `The API refused the call: ${check.reason}.` });
    return;
  }
  const [path] = (request.url ?? '').split('?');
  if (path === '/api/upload' && request.method === 'POST') return takeUpload(request, response);
  if (path === '/api/events' && request.method === 'GET')
    return streamTicks(request, response, String(check.claims.sub));
  const echo = request.method === 'POST' ? await readEcho(request) : undefined;
  sendJson(response, 200, { ...received, token: check.claims, ...(echo === undefined ? {} : { body: echo }) });
}

async function checkToken(
  options: DemoApiOptions,
  keys: JWTVerifyGetKey,
  token: string | undefined,
): Promise<TokenCheck> {
  if (token === undefined) {
    return { valid: false, reason: 'no bearer token arrived' };
  }
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer: options.issuer,
      audience: options.audience,
      typ: 'at+jwt',
      algorithms: ['RS256', 'ES256'],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: 5,
    });
    return { valid: true, claims: payload };
  } catch (error) {
    return { valid: false, reason: error instanceof errors.JOSEError ? error.code : 'its keys could not be read' };
  }
}

function joinRepeated(headers: [string, string][]): Map<string, string> {
  const joined = new Map<string, string>();
  for (const [name, value] of headers) {
    const earlier = joined.get(name);
    joined.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return joined;
}

async function readEcho(request: IncomingMessage): Promise<string> {
  return redactJwts((await readBody(request, ECHO_MAX_BYTES)).toString('utf8'));
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' })
    .end(response.req.method === 'HEAD' ? undefined : `${JSON.stringify(body, null, 2)}\n`);
}
