import type { ErrorCode } from './errors.ts';
import type { HeaderList } from './header-list.ts';
import { Late, type Waiter } from './late.ts';
import type { BearerRefusal, Session } from './services.ts';
import type { SiteRuntime } from './sites.ts';

/** What verify answers. A value; reply.ts turns it into bytes. */
export type Decision =
  | { readonly kind: 'allow'; readonly headers: HeaderList }
  /** A person can sign in: 302 to this absolute URL. */
  | { readonly kind: 'login'; readonly location: string; readonly site: SiteRuntime; readonly expireCookie: boolean }
  | Denial;

/** A decision, now or later. */
export type Deciding = Decision | Promise<Decision>;

/** A decision that waits for the store. */
export class LateDecision extends Late<Decision> implements Waiter<Session | undefined> {
  readonly #judge: (session: Session | undefined) => Deciding;

  /** @param judge decides about what was found. */
  constructor(found: Late<Session | undefined>, judge: (session: Session | undefined) => Deciding) {
    super();
    this.#judge = judge;
    found.wait(this);
  }

  done(session: Session | undefined): void {
    let deciding: Deciding;
    try {
      deciding = this.#judge(session);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (!(deciding instanceof Promise)) {
      this.settle(deciding);
      return;
    }
    deciding.then(
      (decision) => this.settle(decision),
      (error: unknown) => this.fail(error),
    );
  }

  failed(error: unknown): void {
    this.fail(error);
  }
}

/** A refusal. `reason` is for the log; the world sees the code. */
export type Denial = {
  readonly kind: 'deny';
  readonly code: ErrorCode;
  readonly reason: string;
  /** Known as soon as the host is; gives CORS and the login address. */
  readonly site: SiteRuntime | undefined;
  /** A person is looking: answer a page instead of JSON. */
  readonly navigation: boolean;
  /** The cookie came with two values: expire both variants. */
  readonly expireCookie: boolean;
  /** Further parameters of the challenge: of a step-up (RFC 9470), of an invalid token (RFC 6750 §3). */
  readonly challenge: string;
  /** What the login is to be asked for in a step-up, `&name=value…`; absent = a sign-in is no remedy. */
  readonly loginQuery?: string | undefined;
  /** Methods of a route that knows the path but not the method, for `Allow`. */
  readonly allow: string;
  /** For `DPoP-Nonce`. */
  readonly nonce?: string | undefined;
  /** For `Retry-After`. */
  readonly retryAfterS?: number | undefined;
};

/** A bearer token that is not accepted, as verify's answer. */
export function denyBearer(refusal: BearerRefusal, site: SiteRuntime, navigation: boolean): Denial {
  const { code, reason, description, nonce, retryAfterS } = refusal;
  const { challenge = `, error_description="${description}"` } = refusal;
  return {
    kind: 'deny',
    code,
    reason,
    site,
    navigation,
    expireCookie: false,
    challenge,
    allow: '',
    nonce,
    retryAfterS,
  };
}

/** Refuse. @param reason for the log. */
export function deny(
  code: ErrorCode,
  reason: string,
  site: SiteRuntime | undefined,
  navigation: boolean,
  challenge = '',
  expireCookie = false,
  allow = '',
  loginQuery?: string | undefined,
): Denial {
  return { kind: 'deny', code, reason, site, navigation, expireCookie, challenge, allow, loginQuery };
}
