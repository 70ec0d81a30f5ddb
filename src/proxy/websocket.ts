import type { HttpRequest } from 'uWebSockets.js';
import type { WebSocket } from 'ws';
import type { App } from '../core/app.ts';
import type { Exchange } from '../core/app-exchange.ts';
import type { Clock } from '../core/clock.ts';
import type { ServiceTimeouts } from '../core/config/types-service.ts';
import type { WebSocketSettings } from '../core/config/types-websocket.ts';
import type { DpopNonces } from '../core/dpop-nonces.ts';
import { SallyportError } from '../core/errors.ts';
import type { Metrics } from '../core/metrics.ts';
import type { ServiceToken } from '../core/services.ts';
import { type Asked, type authorize, noteToken, type Verdict } from './authorize.ts';
import type { ServiceRuntime } from './http-pools.ts';
import { endOfCaller, type LiveSessions, ownerOf, type Seat } from './live-sessions.ts';
import { RequestProofs } from './proof.ts';
import {
  type ClientHeaders,
  finishHeaders,
  type OwnHeaders,
  type RequestHeaderRules,
  withCookie,
} from './request-headers.ts';
import { targetOf } from './target.ts';
import { SESSION_ENDED } from './websocket-codes.ts';
import { readHandshake } from './websocket-handshake.ts';
import { Link } from './websocket-link.ts';
import { type Dial, dial } from './websocket-service.ts';

/** What WebSockets work with. */
export type WebSocketServices = {
  readonly sessions: LiveSessions;
  readonly clock: Clock;
  readonly metrics: Pick<Metrics, 'hot'>;
  readonly requestHeaders: RequestHeaderRules;
  /** What services want in proofs of possession. */
  readonly nonces: DpopNonces;
  authorize(asked: Asked): ReturnType<typeof authorize>;
  /** What we tell the service about a request. */
  describe(asked: Asked, verdict: Verdict & { kind: 'pass' }): OwnHeaders;
};

/** WebSocket routes of the proxy. */
export type WebSockets = {
  /**
   * Answer a request to a WebSocket route: an upgrade once the service has accepted, else an error; never a redirect.
   * @throws SallyportError, synchronously or as a rejection.
   */
  handle(app: App, exchange: Exchange, req: HttpRequest, asked: Asked, plan: SocketPlan): void | Promise<void>;
  /** Cut all sockets to services. */
  close(): void;
};

/** Where the handshakes of a route go, and how long they may take. */
export type SocketPlan = {
  readonly service: ServiceRuntime;
  readonly timeouts: Pick<ServiceTimeouts, 'connectMs' | 'headersMs'>;
};

/** A handshake that was read in its first turn. */
type Inbound = {
  readonly app: App;
  readonly exchange: Exchange;
  readonly asked: Asked;
  readonly plan: SocketPlan;
  readonly settings: WebSocketSettings;
  readonly headers: ClientHeaders;
  readonly subprotocols: readonly string[];
};

const GOING_AWAY = 1001;
const BEARER = 'Bearer ';

/** Create the WebSockets of a configuration (D-30 to D-32, R-154, R-155). */
export function createWebSockets(services: WebSocketServices): WebSockets {
  const { sessions } = services;
  const links = new Set<Link>();
  const proceed = (inbound: Inbound, verdict: Verdict): void => {
    if (!inbound.exchange.open) return;
    if (verdict.kind === 'login') throw new SallyportError('authentication_required', { detail: 'handshake' });
    const proofs = proofsFor(inbound, verdict.token, services.nonces);
    const headers = headersFor(inbound, services.describe(inbound.asked, verdict));
    noteToken(inbound.exchange, inbound.asked, verdict);
    const seat = sessions.enter(ownerOf(inbound.asked, verdict.session), true);
    try {
      connect(inbound, { headers, proofs }, seat, (socket) =>
        join(services, links, inbound, { seat, endsAt: endOfCaller(verdict.session) }, socket),
      );
    } catch (error) {
      seat.leave();
      throw error;
    }
  };
  return {
    handle(app, exchange, req, asked, plan) {
      const settings = asked.route.route.webSocket;
      if (settings === undefined) throw new TypeError('no WebSocket route');
      const subprotocols = readHandshake(exchange, req, asked.site, settings);
      const headers = services.requestHeaders.read(asked.context.fields);
      if (headers.nominatesCritical) {
        throw new SallyportError('bad_request', { detail: 'Connection names a field that must arrive' });
      }
      const inbound: Inbound = { app, exchange, asked, plan, settings, headers, subprotocols };
      app.keep();
      const verdict = services.authorize(asked);
      if (verdict instanceof Promise) return verdict.then((value) => proceed(inbound, value));
      return proceed(inbound, verdict);
    },
    close() {
      for (const link of links) {
        link.end(GOING_AWAY, 'going away', GOING_AWAY);
        link.destroy();
      }
    },
  };
}

/** A cookie has no scheme that would ask for a proof: a bound token never goes into one (D-36). */
function proofsFor(
  { asked: { context, path, route }, settings }: Inbound,
  token: ServiceToken | undefined,
  nonces: DpopNonces,
): RequestProofs | undefined {
  if (token?.proofs === undefined) return undefined;
  if (settings.tokenIn.kind === 'cookie') {
    throw new SallyportError('no_token_available', { detail: 'a token bound to a key is sent in no cookie' });
  }
  return new RequestProofs(token.proofs, nonces, context.method, targetOf(context, path, route.route.rewrite));
}

/** As on HTTP; a service that reads its token in a cookie of the route's gets it there, and nowhere else. */
function headersFor({ headers, settings }: Inbound, own: OwnHeaders): string[] {
  const { tokenIn } = settings;
  if (tokenIn.kind === 'authorization') return finishHeaders(headers, own);
  const token = own.authorization.slice(BEARER.length);
  return withCookie(finishHeaders(headers, { ...own, authorization: '' }), tokenIn.name, token);
}

/** The service is dialled before the client is accepted: what it refuses is refused. */
function connect(
  inbound: Inbound,
  sent: Pick<Dial, 'headers' | 'proofs'>,
  seat: Seat,
  onOpen: (socket: WebSocket) => void,
): void {
  const { app, exchange, asked, plan, settings, subprotocols } = inbound;
  const giveUp = dial({
    ...plan,
    ...sent,
    target: targetOf(asked.context, asked.path, asked.route.route.rewrite),
    subprotocols,
    messageMaxBytes: settings.messageMaxBytes,
    onOpen,
    onFail(error) {
      seat.leave();
      app.fail(exchange, error);
    },
  });
  exchange.onAbort = () => {
    giveUp();
    seat.leave();
  };
}

/** In the turn in which the service accepted: its first messages may be in the same read. */
function join(
  { clock, metrics: { hot } }: WebSocketServices,
  links: Set<Link>,
  { app, exchange, settings }: Inbound,
  { seat, endsAt }: { readonly seat: Seat; readonly endsAt: number },
  service: WebSocket,
): void {
  const link = new Link({
    settings,
    clock,
    service,
    onActivity: () => {
      if (settings.countsAsActivity) seat.act();
    },
    onEnd: () => {
      hot.webSockets -= 1;
      seat.leave();
    },
  });
  links.add(link);
  hot.serviceWebSockets += 1;
  service.on('close', () => {
    hot.serviceWebSockets -= 1;
    links.delete(link);
  });
  hot.webSockets += 1;
  app.upgrade(exchange, link, service.protocol);
  seat.sit({
    tick(now) {
      if (now < endsAt) link.tick(now);
      else link.end(SESSION_ENDED, 'the token has expired', GOING_AWAY);
    },
    onSessionEnd: () => link.end(SESSION_ENDED, 'the session has ended', GOING_AWAY),
  });
}
