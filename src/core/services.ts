import type { HeaderList } from './header-list.ts';
import type { Late } from './late.ts';
import type { SessionCold, SessionDescription, SessionHot, SessionOrigin } from './session.ts';

/** A live session as requests see it: decoded, within its limits, with ready-made answer headers. */
export type Session = {
  readonly locator: string;
  /** 128-bit public name (D-27): safe to show to services and in session lists. */
  readonly publicId: string;
  readonly revision: number;
  readonly hot: SessionHot;
  /** Identity headers of the allow answer, flat. */
  readonly headers: HeaderList;
  /** When it was last seen as the store knew it, ms since the epoch. */
  readonly lastSeenAt: number;
};

/** What a new session is made of. */
export type NewSession = {
  readonly hot: Omit<SessionHot, 'createdAt' | 'idleMs' | 'absoluteAt' | 'indexKeyId'>;
  readonly cold: SessionCold;
  /** What its owner's list shows; absent = nothing is known. */
  readonly from?: SessionOrigin;
  /** When the login began, ms since the epoch (D-18). */
  readonly startedAt: number;
  /** Absolute end, ms since the epoch, where it is not a whole `session.absolute` from now. */
  readonly absoluteAt?: number;
};

/** One session in a list. */
export type ListedSession = {
  readonly locator: string;
  readonly publicId: string;
  /** ms since the epoch. */
  readonly lastSeenAt: number;
  /** Absent if it cannot be read any more: its key has left the ring. */
  readonly description: SessionDescription | undefined;
};

/** Sessions as verify, proxy and flows use them (D-38). Every method throws `store_unavailable` in an outage. */
export type Sessions = {
  /**
   * The live session of a handle. Idle and absolute limits are enforced here, without the store's help (D-16).
   * @param slide false leaves the idle limit alone.
   * @param now ms since the epoch, if the caller knows it.
   */
  find(handle: string, slide: boolean, now?: number): Session | undefined | Promise<Session | undefined>;
  /** The same for the hot path. @throws store_unavailable if the store cannot even be asked now */
  look(handle: string, slide: boolean, now: number): Session | undefined | Late<Session | undefined>;
  /** Make a session under a new handle. Undefined if a logout overtook the login (D-18). */
  create(creation: NewSession): Promise<{ readonly handle: string; readonly session: Session } | undefined>;
  /** The cold part of a live session, for flows that talk to the provider. */
  readCold(handle: string): Promise<SessionCold | undefined>;
  /** End one session; with a provider session id also remember it, so that a login under way cannot revive it. */
  end(session: Session): Promise<void>;
  /** End the session that a new login of the same browser takes the place of; the provider's session goes on. */
  replace(session: Session): Promise<void>;
  /** End every session of the user on all nodes, and what logins under way would make; returns how many. */
  endAllOfUser(issuer: string, subject: string): Promise<number>;
  /** The live sessions of a user, the one seen last in front. */
  list(issuer: string, subject: string): Promise<readonly ListedSession[]>;
  /** End one session of a user by its public id; undefined if the user has none of that name. */
  endListed(issuer: string, subject: string, publicId: string): Promise<ListedSession | undefined>;
  /**
   * End our sessions of one session at the provider; returns how many.
   * @param remember also refuse what logins under way would make of it (D-18).
   */
  endProviderSession(issuer: string, sid: string, remember: boolean): Promise<number>;
};

/** Whoever brought a valid bearer token. */
export type BearerCaller = {
  readonly kind: 'caller';
  /** What the token says, in the shape of a session: no record behind it, no site, an empty `publicId`. */
  readonly session: Session;
  /** Thumbprint of the key that the token is bound to (RFC 9449 §6.1); empty = anybody may bring it. */
  readonly thumbprint: string;
};

/** A token that came with a proof of possession, and what the proof has to speak of. */
export type PresentedToken = {
  readonly token: string;
  /** Value of the DPoP header; empty = none. */
  readonly proof: string;
  readonly method: string;
  readonly scheme: 'http' | 'https';
  readonly host: string;
  /** Path and query of the original request. */
  readonly target: string;
};

/** A bearer token that was not accepted. */
export type BearerRefusal = {
  readonly kind: 'refused';
  /** `access_denied`: valid, but without a scope that its issuer must give; `overloaded`: nobody has looked at it. */
  readonly code: 'invalid_token' | 'access_denied' | 'overloaded';
  /** For the log; never holds anything from the token. */
  readonly reason: string;
  /** Public sentence, safe inside a quoted string. */
  readonly description: string;
  /** The same token will be refused again. */
  readonly isLasting: boolean;
  /** The whole challenge, where it is not the usual one of Bearer. */
  readonly challenge?: string;
  /** For `DPoP-Nonce`: what the next proof has to hold. */
  readonly nonce?: string | undefined;
  /** When to come again with it, for `overloaded`. */
  readonly retryAfterS?: number;
};

/** From where a token came; read in the turn in which it is asked about. */
export type BearerAsker = { readonly peer: Uint8Array; readonly forwardedFor: string };

/** What became of a bearer token. */
export type BearerResult = BearerCaller | BearerRefusal;

/** Validates bearer tokens (SPEC §7). */
export type BearerTokens = {
  /**
   * Who brings this token, as Bearer: one that is bound to a key is refused. Direct for remembered and malformed ones, else a promise.
   * The promise rejects with `idp_unavailable` if keys are missing.
   */
  check(token: string, asker: BearerAsker): BearerResult | Promise<BearerResult>;
  /** The same of a token that is bound to a key, with the proof of it. @throws overloaded if too many proofs are remembered */
  checkBound(presented: PresentedToken, asker: BearerAsker): BearerResult | Promise<BearerResult>;
};

/** A service's token, ready to be sent. */
export type ServiceToken = {
  readonly kind: 'token';
  /** Value of Authorization; empty for a service that gets no token. */
  readonly authorization: string;
  /** Identity headers with this token in the place of the session's own. @param headers those of the session. */
  headersWith(headers: HeaderList): HeaderList;
  /** Present where the token is bound to a key: without a proof it is worth nothing (D-36). */
  readonly proofs?: TokenProofs;
};

/** Makes the proofs that go along with a token which is bound to a key (RFC 9449 §7). */
export type TokenProofs = {
  /**
   * A fresh one, for one request: the value of the field `DPoP`.
   * @param url absolute, as the service is asked; its query is left out of the proof.
   * @param nonce what the service asked to have in it.
   */
  make(method: string, url: string, nonce: string | undefined): string;
};

/** Asking for a token found that the session is over; `reason` is for the log. */
export type SessionOver = { readonly kind: 'ended'; readonly reason: string };

/** Tokens of services (SPEC §9, D-38). */
export type Tokens = {
  /**
   * The token that a service gets of a session or bearer caller: direct if one is kept and fresh; else a promise, for
   * at most `refresh.wait_max`. Leaving early harms nothing.
   * @param handle of the session; empty for a bearer caller.
   * @param service a name of the configuration.
   * @param staleForS the session's own token has expired and cannot be renewed for so long (D-06); else 0.
   * @throws now or by rejection: no_token_available, token_audience_mismatch, idp_bad_response, idp_unavailable,
   * store_unavailable.
   */
  ensure(
    handle: string,
    session: Session,
    service: string,
    staleForS: number,
  ): ServiceToken | SessionOver | Promise<ServiceToken | SessionOver>;
};

/** Tokens of services, and what a server does with them besides asking. */
export type ServiceTokens = Tokens & {
  /** Obtain the eager ones of a new session, in parallel, within LIMITS.eagerTokensMs; never fails (D-21). */
  prefetch(handle: string, session: Session): Promise<void>;
  /** Waits for attempts under way, so that no refresh token is lost; begins no more. */
  close(): Promise<void>;
};
