import type { HttpRequest } from 'uWebSockets.js';
import type { Exchange } from '../core/app-exchange.ts';
import type { WebSocketSettings } from '../core/config/types-websocket.ts';
import { SallyportError } from '../core/errors.ts';
import { originProblem } from '../core/origin.ts';
import type { SiteRuntime } from '../core/sites.ts';

/** 16 bytes in base64 (RFC 6455 §4.1). */
const KEY = /^[A-Za-z0-9+/]{22}==$/;
/** RFC 9110 §5.6.2. */
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/;
const SUBPROTOCOLS_MAX = 32;

type Lines = { readonly connection: string[]; readonly upgrade: string[]; version: string[]; protocol: string[] };

/**
 * Check a client's opening handshake (RFC 6455 §4.2.1, §10.2), before its session is looked at. Whoever sends no
 * Origin is no browser of ours, and is refused like a foreign one.
 * @returns the subprotocols that may be offered to the service, in the client's order.
 * @throws `method_not_allowed`, `bad_request`, `origin_not_allowed`.
 */
export function readHandshake(
  exchange: Pick<Exchange, 'context' | 'socketContext'>,
  req: Pick<HttpRequest, 'forEach'>,
  site: SiteRuntime,
  settings: Pick<WebSocketSettings, 'subprotocols'>,
): readonly string[] {
  const { context, socketContext } = exchange;
  if (context.method !== 'GET') {
    throw new SallyportError('method_not_allowed', { detail: 'WebSocket route', headers: [['allow', 'GET']] });
  }
  const lines = readLines(req);
  const problem = findFormProblem(lines);
  if (problem !== undefined) throw malformed(problem, problem === 'version' ? [['sec-websocket-version', '13']] : []);
  if (socketContext === undefined || !KEY.test(context.webSocketKey)) throw malformed('key');
  if (context.contentLength > 0 || context.chunked) throw malformed('body');
  const foreign = context.origin === '' ? 'no_origin' : originProblem(context, site, 'refuse');
  if (foreign !== undefined) throw new SallyportError('origin_not_allowed', { detail: `handshake ${foreign}` });
  return chooseSubprotocols(lines.protocol, settings.subprotocols);
}

function readLines(req: Pick<HttpRequest, 'forEach'>): Lines {
  const lines: Lines = { connection: [], upgrade: [], version: [], protocol: [] };
  req.forEach((name, value) => {
    if (name === 'connection') lines.connection.push(...listOf(value));
    else if (name === 'upgrade') lines.upgrade.push(value.toLowerCase());
    else if (name === 'sec-websocket-version') lines.version.push(value);
    else if (name === 'sec-websocket-protocol') lines.protocol.push(...listOf(value));
  });
  return lines;
}

function findFormProblem({ connection, upgrade, version }: Lines): string | undefined {
  if (upgrade.length !== 1 || upgrade[0] !== 'websocket') return 'upgrade';
  if (!connection.some((token) => token.toLowerCase() === 'upgrade')) return 'connection';
  return version.length === 1 && version[0] === '13' ? undefined : 'version';
}

function chooseSubprotocols(offered: readonly string[], allowed: readonly string[]): readonly string[] {
  const isOdd = offered.length > SUBPROTOCOLS_MAX || new Set(offered).size !== offered.length;
  if (isOdd || !offered.every((name) => TOKEN.test(name))) throw malformed('subprotocols');
  const chosen = offered.filter((name) => allowed.includes(name));
  // Without an answer to its offer a browser fails the connection anyhow.
  if (offered.length > 0 && chosen.length === 0) throw malformed('no subprotocol of the route');
  return chosen;
}

function listOf(value: string): string[] {
  return value.split(',').map((part) => part.trim());
}

function malformed(what: string, headers: readonly (readonly [string, string])[] = []): SallyportError {
  return new SallyportError('bad_request', { detail: `handshake: ${what}`, headers });
}
