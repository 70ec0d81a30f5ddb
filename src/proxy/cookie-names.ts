import type { Config } from '../core/config/types.ts';
import { foldCookieName, isHelperCookie } from '../core/folded-names.ts';
import { createMemo } from '../core/memo.ts';
import { NAMES_REMEMBERED } from './header-names.ts';

/** True for the name of a cookie of ours, in any spelling that a service might fold into it. */
export type OwnCookieTest = (name: string) => boolean;

/** Left over where `csrf.cookie` has changed. */
const CSRF_DEFAULT = 'bff-csrf';

/**
 * Compile the test for our cookies: the session cookies of all sites, token cookies, transaction, loop, sign-out and CSRF cookies,
 * with and without `__Host-` and `__Secure-`, in any case, punctuation or percent-encoding.
 */
export function compileOwnCookies({ sites, compat, csrf }: Pick<Config, 'sites' | 'compat' | 'csrf'>): OwnCookieTest {
  const { accessToken, refreshToken } = compat.tokenCookies ?? {};
  const tokens = [accessToken, refreshToken].filter((cookie) => cookie !== undefined);
  const named = new Set(
    [csrf.cookie, ...[...sites.map(({ cookie }) => cookie), ...tokens].map(({ name }) => name)].map(fold),
  );
  return createMemo((name) => {
    const folded = fold(name);
    return named.has(folded) || isHelperCookie(folded) || folded === CSRF_DEFAULT;
  }, NAMES_REMEMBERED);
}

function fold(name: string): string {
  return foldCookieName(decodeOnce(name).trim());
}

/** Some frameworks percent-decode cookie names; a name that cannot be decoded is taken as it is. */
function decodeOnce(name: string): string {
  if (!name.includes('%')) return name;
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
