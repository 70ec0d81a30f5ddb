import type { RateLimit } from './types-rate.ts';

/** Compatibility modes (SPEC §12); undefined = off. */
export type CompatSettings = {
  readonly tokenCookies: TokenCookieSettings | undefined;
  /** User name and password by POST. */
  readonly directGrant: DirectGrantSettings | undefined;
  /** Codes that a script received. */
  readonly spaCallback: SpaCallbackSettings | undefined;
};

/** `POST <auth>/login`. */
export type DirectGrantSettings = {
  /** The answer holds the access token. */
  readonly returnToken: boolean;
  /** Attempts of each user name, and of each address. */
  readonly rateLimit: RateLimit;
};

/** `POST` to the callback. */
export type SpaCallbackSettings = {
  /** Compared character by character. */
  readonly redirectUris: readonly string[];
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
