import { type AddressMatcher, clientAddress } from './address.ts';
import type { BaseExchange } from './app-exchange.ts';
import type { Clock } from './clock.ts';
import type { RequestContext } from './context.ts';
import type { DeniedLog } from './denied-log.ts';
import { ERRORS } from './errors.ts';
import type { Logger } from './log.ts';
import type { Problem } from './problem.ts';

/** What request lines are written with. */
export type RequestLogServices = {
  readonly trusted: AddressMatcher;
  readonly clock: Clock;
  readonly log: Logger;
  readonly denied: DeniedLog;
};

const PATH_MAX_CHARS = 256;

/** The client's address as the gateway saw it (SPEC §6). */
export function clientIpOf(services: { readonly trusted: AddressMatcher }, context: RequestContext): string {
  return clientAddress(context.peer, context.forwardedFor, services.trusted);
}

/** One line for a refusal, if its code's bucket has room (D-10). Paths without queries: those may hold secrets. */
export function logRefusal(
  services: RequestLogServices,
  exchange: BaseExchange,
  { code, service }: Pick<Problem, 'code' | 'service'>,
  reason: string,
): void {
  const { denied, log } = services;
  const { level } = ERRORS[code];
  if (!log.isLevelEnabled(level)) return;
  const suppressed = denied.admit(code);
  if (suppressed === undefined) return;
  const line = {
    code,
    reason,
    ...(service === undefined ? {} : { target_service: service }),
    ...requestFields(services, exchange.context),
    ...(suppressed === 0 ? {} : { suppressed }),
  };
  log[level](
    line,
    code === 'no_token_available' && service !== undefined ? `NO_TOKEN_AVAILABLE service=${service}` : code,
  );
}

/** One line for an answered request (`log.access: all`). */
export function logAccess(services: RequestLogServices, exchange: BaseExchange, status: number, code: string): void {
  const ms = services.clock.now() - exchange.startedAt;
  const { tokenService } = exchange;
  const line = {
    ...requestFields(services, exchange.context),
    ...(tokenService === '' ? {} : { token_found: true, target_service: tokenService }),
    status,
    ...(code === '' ? {} : { code }),
    ms,
  };
  services.log.info(line, tokenService === '' ? 'request' : `request token_found=true service=${tokenService}`);
}

function requestFields(services: RequestLogServices, context: RequestContext) {
  return {
    request_id: context.requestId,
    client_ip: clientIpOf(services, context),
    method: context.method,
    path: context.path.slice(0, PATH_MAX_CHARS),
  };
}
