/** Cookies of ours whose names no configuration changes; that of a transaction goes on with its id (D-23). */
export const HELPER_COOKIES = { transaction: 'bff_tx_', loop: 'bff_loop', left: 'bff_left' } as const;

const PREFIX = /^-*(?:host|secure)-/;
const HELPER = /^bff-(?:tx(?:-|$)|loop$|left$)/;

/**
 * A name as CGI, WSGI, PHP and nginx fold it: lower case, every other character than a letter or digit as `-`. Names
 * that meet there can stand in for each other (D-04).
 */
export function foldName(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '-');
}

/** The same of a cookie, without `__Host-` and `__Secure-`. */
export function foldCookieName(name: string): string {
  return foldName(name).replace(PREFIX, '');
}

/** True for the folded name of one of HELPER_COOKIES. */
export function isHelperCookie(folded: string): boolean {
  return HELPER.test(folded);
}
