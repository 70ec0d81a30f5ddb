/** Compatibility modes (SPEC §12); undefined = off. */
export type CompatSettings = {
  readonly tokenCookies: TokenCookieSettings | undefined;
};

/** Tokens in cookies, for back ends that read a JWT from the Cookie header. */
export type TokenCookieSettings = {
  readonly accessToken: TokenCookie;
  /** undefined = the refresh token stays on the server. */
  readonly refreshToken: TokenCookie | undefined;
};

/** One of these cookies; its other attributes are those of the site's session cookie. */
export type TokenCookie = {
  readonly name: string;
  /** Without a leading dot; undefined = host-only. */
  readonly domain: string | undefined;
  readonly path: string;
};
