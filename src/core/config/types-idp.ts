/** A key that signs for this server; `privateKey` is PEM or a JWK as JSON, checked against `alg`. */
export type SigningKey = {
  readonly kid: string;
  readonly alg: 'ES256' | 'ES384' | 'ES512' | 'EdDSA' | 'PS256' | 'RS256';
  readonly privateKey: string;
};

/** How this client authenticates at a provider. */
export type ClientAuthSettings =
  | { readonly method: 'none' }
  | { readonly method: 'client_secret_basic' | 'client_secret_post'; readonly secret: string }
  | { readonly method: 'private_key_jwt'; readonly key: SigningKey }
  | { readonly method: 'tls_client_auth' | 'self_signed_tls_client_auth' };

/** Explicit endpoints instead of discovery. */
export type IdpEndpoints = {
  readonly authorization: string;
  readonly token: string;
  readonly jwks: string;
  readonly userinfo: string | undefined;
  readonly revocation: string | undefined;
  readonly endSession: string | undefined;
  readonly par: string | undefined;
};

/** Request parameters of /auth/login that may be passed on to the provider. */
export type ForwardedParam = 'prompt' | 'login_hint' | 'acr_values' | 'ui_locales' | 'max_age';

/** TLS towards a provider; PEM texts, certificate and key come together. */
export type IdpTls = {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
};
