/** Proof that an unsafe request comes from a script of ours (SPEC §10). */
export type CsrfSettings = {
  /** `header`: a custom header with one value; `token`: the same header with a token of the session. */
  readonly mode: 'header' | 'token';
  readonly header: string;
  /** Of mode `header`. */
  readonly value: string;
  /** Of mode `token`: the cookie in which scripts find their token. */
  readonly cookie: string;
};
