import type { AccessRule } from './access.ts';
import type { SiteRuntime } from './sites.ts';

/** What a session that is too weak for a rule is answered with (RFC 9470 §3). */
export type StepUp = {
  /** Parameters of the challenge behind `error`, beginning with a comma. */
  readonly challenge: string;
  /** The same for the login, `&name=value…`, encoded. */
  readonly query: string;
};

// It is repeated inside a quoted string of WWW-Authenticate (RFC 9470 §3), and blanks part the values of acr_values:
// nothing may end that string early or become two values.
const ACR_VALUE = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/;

/** True for an authentication context class that can be asked for. */
export function isAcrValue(text: string): boolean {
  return ACR_VALUE.test(text);
}

/** What a rule asks for: a sign-in that asked for less would come back for ever. */
export function stepUpOf({ acr, maxAgeMs }: AccessRule): StepUp {
  const values = acr.join(' ');
  const maxAgeS = maxAgeMs === undefined ? undefined : Math.floor(maxAgeMs / 1000);
  const challenge =
    (values === '' ? '' : `, acr_values="${values}"`) + (maxAgeS === undefined ? '' : `, max_age=${maxAgeS}`);
  const query =
    (values === '' ? '' : `&acr_values=${encodeURIComponent(values)}`) +
    (maxAgeS === undefined ? '' : `&max_age=${maxAgeS}`);
  return { challenge, query };
}

/** The login that asks for it; whoever goes there says by `return_to` where they come back. */
export function stepUpLogin({ loginUrl }: SiteRuntime, query: string): string {
  return `${loginUrl}?${query.slice(1)}`;
}

/** The challenge itself. */
export function stepUpHeader(challenge: string): readonly [string, string] {
  return ['www-authenticate', `Bearer realm="sallyport", error="insufficient_user_authentication"${challenge}`];
}
