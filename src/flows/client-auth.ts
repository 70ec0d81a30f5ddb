import * as oauth from 'oauth4webapi';
import type { Idp } from '../core/config/types.ts';
import type { ClientAuthSettings } from '../core/config/types-idp.ts';
import { importSigningKey } from '../core/signing-keys.ts';

/**
 * How this client proves to a provider who it is (OpenID Connect Core §9, RFC 8705 §2). An assertion of
 * `private_key_jwt` names the issuer as its audience, lives 60 s and has a `jti` of its own (RFC 7523 §3, R-050).
 */
export function compileClientAuth(settings: ClientAuthSettings): oauth.ClientAuth {
  switch (settings.method) {
    case 'none':
      return oauth.None();
    case 'client_secret_basic':
      return oauth.ClientSecretBasic(settings.secret);
    case 'client_secret_post':
      return oauth.ClientSecretPost(settings.secret);
    case 'private_key_jwt': {
      const { kid, alg } = settings.key;
      const key = importSigningKey(settings.key);
      return oauth.PrivateKeyJwt(
        { key, kid },
        {
          // The library says Ed25519 where many providers know EdDSA alone.
          [oauth.modifyAssertion]: (header) => {
            header['alg'] = alg;
          },
        },
      );
    }
    // The certificate of the connection is the proof: the agent presents it (outbound.ts).
    case 'tls_client_auth':
    case 'self_signed_tls_client_auth':
      return oauth.TlsClientAuth();
  }
}

/** True if connections to the provider present a certificate: then `mtls_endpoint_aliases` count (RFC 8705 §5). */
export function presentsCertificate({ tls }: Idp): boolean {
  return tls.cert !== undefined;
}
