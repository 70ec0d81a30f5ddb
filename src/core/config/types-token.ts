/** What a service's token must be like, and how it is obtained (SPEC §9). */
export type ServiceTokenSettings = {
  /** `session`: the user's own access token; `none`: the service gets none. */
  readonly source: 'exchange' | 'refresh' | 'client_credentials' | 'session' | 'none';
  /** Obtained at login, not at first use. */
  readonly eager: boolean;
  /** Provider asked for `client_credentials`; the others ask the session's own. */
  readonly idp: string;
  /** What `aud` of a JWT must contain; undefined = not looked at. */
  readonly audience: string | undefined;
  /** Scopes asked for. */
  readonly scopes: readonly string[];
  /** A token is accepted with one of these; empty = any. */
  readonly requireAny: readonly string[];
  /** A token is accepted with all of these. */
  readonly requireAll: readonly string[];
};
