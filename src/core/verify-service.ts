// hot: bench/verify.ts
import type { Config } from './config/types.ts';
import { isSallyportError, SallyportError } from './errors.ts';
import type { IdentityHeaders } from './identity.ts';
import type { ServiceToken, Session, SessionOver, Tokens } from './services.ts';
import type { Decision } from './verify-decision.ts';

/** Who asks, and how fresh the session's own token is. */
export type Asker = {
  /** Empty for a bearer caller. */
  readonly handle: string;
  readonly session: Session;
  /** The session's own token has expired and cannot be renewed for so long; else 0. */
  readonly staleForS: number;
};

/** What it is decided with. */
type AskServices = {
  readonly config: Pick<Config, 'verify'>;
  readonly identity: IdentityHeaders;
  readonly tokens: Tokens;
};

/**
 * Allow with the token of a service in the place of the session's (SPEC §6); direct where it is kept.
 * @param whenOver decides for a session that turned out to be over.
 * The promise rejects, as `Tokens.ensure` says, except where D-06 and D-09 want an answer without a token: while the
 * session's own has expired with the provider away, and for callers whose token nothing can be made of.
 */
export function allowWithToken(
  asker: Asker,
  service: string,
  services: AskServices,
  whenOver: (reason: string) => Decision,
): Decision | Promise<Decision> {
  const { handle, session, staleForS } = asker;
  try {
    const given = services.tokens.ensure(handle, session, service, staleForS);
    if (!(given instanceof Promise)) return allow(session, service, given, whenOver);
    return given.then(
      (value) => allow(session, service, value, whenOver),
      (error: unknown) => allowWithout(asker, services, error),
    );
  } catch (error) {
    return Promise.resolve().then(() => allowWithout(asker, services, error));
  }
}

const BOUND = 'a token bound to a key is sent by the proxy alone';

function allow(
  session: Session,
  service: string,
  given: ServiceToken | SessionOver,
  whenOver: (reason: string) => Decision,
): Decision {
  if (given.kind === 'ended') return whenOver(given.reason);
  // A gateway cannot make the proof that each request needs (D-36).
  if (given.proofs !== undefined) throw new SallyportError('no_token_available', { detail: BOUND, service });
  return { kind: 'allow', headers: given.headersWith(session.headers) };
}

function allowWithout({ handle, session, staleForS }: Asker, services: AskServices, error: unknown): Decision {
  const code = isSallyportError(error) ? error.code : undefined;
  const isOmitted = code === 'idp_unavailable' && staleForS > 0 && services.config.verify.expiredToken === 'omit';
  const isCallers = code === 'no_token_available' && handle === '';
  if (!isOmitted && !isCallers) throw error;
  return { kind: 'allow', headers: services.identity.withToken(session.headers, '') };
}
