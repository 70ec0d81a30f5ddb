import { type Clock, retryAfterOf } from '../core/clock.ts';
import type { RefreshSettings } from '../core/config/types-refresh.ts';
import type { ServiceTokenSettings } from '../core/config/types-token.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import type { IdentityHeaders } from '../core/identity.ts';
import { type Timers, within } from '../core/lease.ts';
import { LIMITS } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { ServiceToken, Session, SessionOver } from '../core/services.ts';
import { renewalTime } from './refresh-due.ts';
import type { ObtainedToken, TokenFailure } from './service-token-check.ts';
import type { TokenEnd } from './service-token-flight.ts';
import { type Kept, KeptToken, KeptTokens } from './service-token-kept.ts';
import type { FiledFailure } from './service-token-record.ts';

/** What every source of tokens works with. */
export type SourceServices = {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly settings: RefreshSettings;
  readonly identity: IdentityHeaders;
  readonly log: Logger;
  /** Where somebody signs in to a site; undefined = the site is unknown. */
  loginUrlOf(site: string): string | undefined;
  /** A token was obtained for a service, or could not be: `ok` or the code of the failure. */
  onOutcome(service: string, outcome: string): void;
  isClosing(): boolean;
};

/** A service and what it declares. */
export type TokenService = { readonly name: string; readonly token: ServiceTokenSettings };

/** One attempt. @param before the failure of the last one, as far as it is known here. */
export type Obtain = (before: FiledFailure | undefined) => Promise<TokenEnd>;

type Given = ServiceToken | SessionOver;

/**
 * The tokens of one service in one process, by session, caller or client: kept while they are good, obtained once for
 * all who wait, renewed in the background ahead of their end, left alone for a while after a failure. An attempt
 * belongs to no request: clients may come and go.
 */
export class TokenSource {
  readonly service: TokenService;
  readonly #services: SourceServices;
  readonly #kept = new KeptTokens(LIMITS.serviceTokensMax, LIMITS.serviceTokensMaxChars);
  readonly #flights = new Map<string, Promise<Kept | SessionOver>>();

  constructor(service: TokenService, services: SourceServices) {
    this.service = service;
    this.#services = services;
  }

  /** A token that is good and not due for renewal. */
  find(key: string, now: number): KeptToken | undefined {
    const token = this.#kept.find(key)?.token;
    return token !== undefined && now < token.renewAt ? token : undefined;
  }

  /**
   * The token under a key, obtained if need be.
   * @param session for whom; undefined = for the client itself.
   */
  ensure(key: string, session: Session | undefined, obtain: Obtain): Given | Promise<Given> {
    const { clock, settings, timers } = this.#services;
    const now = clock.now();
    const kept = this.#kept.find(key);
    const token = kept?.token !== undefined && now < kept.token.expiresAt ? kept.token : undefined;
    if (kept?.failure !== undefined && now < kept.failure.until) {
      if (token !== undefined) return token;
      throw this.refusal(kept.failure, session, kept.failure.until);
    }
    const flight = this.#join(key, obtain);
    if (token !== undefined) return token;
    const busy = new SallyportError('idp_unavailable', { detail: `${this.service.name}: slow`, retryAfterS: 1 });
    if (flight === undefined) throw busy;
    return within(timers, settings.waitMaxMs, flight).then((end) => {
      if (end === undefined) throw busy;
      return 'kind' in end ? end : this.#give(end, session);
    });
  }

  /** What a failure is for whoever asked (D-06). */
  refusal({ code, detail }: TokenFailure, session: Session | undefined, until: number): SallyportError {
    const { name, token } = this.service;
    const options = { detail: `${name}: ${detail}`, service: name };
    if (code === 'idp_unavailable') {
      const retryAfterS = retryAfterOf(until - this.#services.clock.now());
      return new SallyportError(code, { ...options, retryAfterS });
    }
    if (code !== 'no_token_available') return new SallyportError(code, options);
    const none = `No valid token could be had for ${name}`;
    if (token.source === 'client_credentials')
      return new SallyportError(code, { ...options, publicDetail: `${none}.` });
    const loginUrl = session && this.#services.loginUrlOf(session.hot.site);
    if (loginUrl === undefined) {
      const publicDetail = `${none}: your token is not meant for it and could not be exchanged.`;
      return new SallyportError(code, { ...options, publicDetail });
    }
    const publicDetail = `${none}: this sign-in does not cover it. A new sign-in is needed.`;
    return new SallyportError(code, { ...options, publicDetail, loginUrl });
  }

  /** Attempts under way. */
  running(): readonly Promise<unknown>[] {
    return [...this.#flights.values()];
  }

  #give({ token, failure }: Kept, session: Session | undefined): KeptToken {
    const now = this.#services.clock.now();
    if (token !== undefined && now < token.expiresAt) return token;
    const late: TokenFailure = { kind: 'failed', code: 'idp_unavailable', detail: 'it expired while it was awaited' };
    throw this.refusal(failure ?? late, session, failure?.until ?? now);
  }

  /** The attempt under way, or a new one; undefined if none may begin. */
  #join(key: string, obtain: Obtain): Promise<Kept | SessionOver> | undefined {
    const running = this.#flights.get(key);
    if (running !== undefined) return running;
    if (this.#services.isClosing() || this.#flights.size >= LIMITS.refreshesMax) return undefined;
    const flight = this.#fly(key, obtain).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    // Whoever waits hears of a failure; in the background nobody does.
    flight.catch((error: unknown) => {
      if (isSallyportError(error)) return;
      this.#services.log.error({ err: error, target_service: this.service.name }, 'a defect was met with a token');
    });
    return flight;
  }

  async #fly(key: string, obtain: Obtain): Promise<Kept | SessionOver> {
    const before = this.#kept.find(key);
    const end = await obtain(before?.failure);
    if (end.kind === 'ended') return end;
    const { clock } = this.#services;
    const { token, failure } = end;
    const kept = { token: token === undefined ? before?.token : this.#made(key, token), failure };
    this.#kept.remember(key, kept, clock.now());
    this.#services.onOutcome(this.service.name, failure?.code ?? 'ok');
    return kept;
  }

  #made(key: string, token: ObtainedToken): KeptToken {
    const { settings, identity } = this.#services;
    return new KeptToken(token, renewalTime(settings, key, token.issuedAt, token.expiresAt), identity);
  }
}
