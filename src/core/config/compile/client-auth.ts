import { isLoopbackHost } from '../schema/web.ts';
import type { ClientAuthSettings, SigningKey } from '../types-idp.ts';
import type { CompileContext } from './context.ts';

type Input = NonNullable<CompileContext['idps']['sections']['providers']>[string];

const CLIENT_SECRET_CHARS_MIN = 16;
const NOTHING: ClientAuthSettings = { method: 'none' };

/** Compile how this client authenticates at a provider; the keys of other methods than the chosen one are refused. */
export function compileClientAuth(
  context: CompileContext,
  name: string,
  input: Input,
  signingKeys: readonly SigningKey[],
): ClientAuthSettings {
  const { idps } = context;
  const { method, secret, kid } = input.client_auth;
  const path = ['providers', name, 'client_auth'];
  const isSecret = method === 'client_secret_basic' || method === 'client_secret_post';
  if (!isSecret && secret) {
    idps.fail([...path, 'secret'], `a secret with method ${method}`, 'no secret', 'remove one of the two');
  }
  if (method !== 'private_key_jwt' && kid !== undefined) {
    idps.fail([...path, 'kid'], `a key with method ${method}`, 'no kid', 'remove it, or set method: private_key_jwt');
  }
  switch (method) {
    case 'none':
      return NOTHING;
    case 'client_secret_basic':
    case 'client_secret_post':
      return compileSecret(context, name, input, method);
    case 'private_key_jwt':
      return compileKey(context, path, kid, signingKeys);
    case 'tls_client_auth':
    case 'self_signed_tls_client_auth':
      checkCertificate(context, name, input);
      return { method };
  }
}

/** An empty secret makes a public client (PKCE only), said at start (SPEC §2.4). */
function compileSecret(
  { idps }: CompileContext,
  name: string,
  input: Input,
  method: 'client_secret_basic' | 'client_secret_post',
): ClientAuthSettings {
  const { secret } = input.client_auth;
  const path = ['providers', name, 'client_auth', 'secret'];
  if (secret === undefined) {
    idps.fail(path, 'is missing', 'a secret', 'add "secret: ${NAME}", or "method: none" for a public client');
    return NOTHING;
  }
  if (secret === '') {
    idps.warn(path, 'empty: this is a public client, protected by PKCE alone');
    return NOTHING;
  }
  if (idps.scalarAt(path)?.hasDefault) {
    idps.fail(path, 'a secret has a default', 'no ":-…" in the expression', 'remove the default');
  }
  if (secret.length < CLIENT_SECRET_CHARS_MIN && !isLoopbackHost(new URL(input.issuer).hostname)) {
    idps.warn(path, `shorter than ${CLIENT_SECRET_CHARS_MIN} characters; ask the provider for a longer one`);
  }
  return { method, secret };
}

function compileKey(
  { idps }: CompileContext,
  path: readonly string[],
  kid: string | undefined,
  keys: readonly SigningKey[],
): ClientAuthSettings {
  const key = kid === undefined ? keys[0] : keys.find((candidate) => candidate.kid === kid);
  if (key !== undefined) return { method: 'private_key_jwt', key };
  if (kid === undefined || keys.length === 0) {
    const fix = 'add "signing: [{kid: …, alg: ES256, private_key: …}]" below keys in settings.yaml';
    idps.fail([...path, 'method'], '{value} without a key', 'a key in keys.signing', fix);
  } else {
    const names = keys.map((candidate) => candidate.kid).join(', ');
    idps.fail([...path, 'kid'], '{value} is no key of keys.signing', names, 'choose one of them');
  }
  return NOTHING;
}

/** The proof is the certificate of the connection: there must be one, on TLS (RFC 8705 §2). */
function checkCertificate({ idps }: CompileContext, name: string, input: Input): void {
  const path = ['providers', name];
  if (input.tls.cert_file === undefined) {
    const fix = 'add cert_file and key_file below tls';
    idps.fail([...path, 'client_auth', 'method'], '{value} without a certificate', 'tls.cert_file', fix);
  }
  // An issuer on loopback may be plain http and name mtls_endpoint_aliases; a back channel is used as it is.
  if (input.backchannel_url?.startsWith('http:') !== true) return;
  const fix = 'use https, or another client_auth.method';
  idps.fail([...path, 'backchannel_url'], '{value} presents no certificate', 'https', fix);
}
