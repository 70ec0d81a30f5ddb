import * as oauth from 'oauth4webapi';
import type { Idp } from '../core/config/types.ts';
import { SallyportError } from '../core/errors.ts';
import type { OutboundFetch } from '../core/outbound.ts';

/** Request options of every call to a provider: our fetch, and plain http where the configuration allows it. */
export type RequestOptions = {
  readonly [oauth.customFetch]: OutboundFetch;
  readonly [oauth.allowInsecureRequests]: boolean;
};

/** Endpoints that this server calls itself, beside `jwks_uri`. */
const BACKCHANNEL: readonly string[] = [
  'token_endpoint',
  'userinfo_endpoint',
  'revocation_endpoint',
  'introspection_endpoint',
  'pushed_authorization_request_endpoint',
];

/**
 * Read a provider's metadata (OpenID Connect Discovery §4) and take it only whole: with the configured spelling of the
 * issuer, with https endpoints, and without demands that the configuration rules out.
 * @throws idp_bad_response, and what the outbound client throws
 */
export async function readMetadata(idp: Idp, requestOptions: RequestOptions): Promise<oauth.AuthorizationServer> {
  const issuer = new URL(idp.issuer);
  const from = idp.backchannelUrl === undefined ? issuer : moveOrigin(issuer, idp.backchannelUrl);
  const response = await oauth.discoveryRequest(from, { algorithm: 'oidc', ...requestOptions });
  const spelled = await issuerOf(response.clone());
  if (spelled !== undefined && spelled !== idp.issuer) {
    throw new SallyportError('idp_bad_response', {
      detail: `the provider spells its issuer ${JSON.stringify(spelled.slice(0, 200))}, the configuration ${JSON.stringify(idp.issuer)}: copy the provider's spelling`,
    });
  }
  const metadata = await oauth.processDiscoveryResponse(issuer, response);
  return withBackchannel(idp, checkEndpoints(idp, metadata));
}

async function issuerOf(response: Response): Promise<string | undefined> {
  try {
    const body = (await response.json()) as { issuer?: unknown };
    return typeof body.issuer === 'string' ? body.issuer : undefined;
  } catch {
    // Not JSON: processDiscoveryResponse says so with more detail.
    return undefined;
  }
}

/** Only https endpoints, or loopback http. An optional endpoint that is no URL counts as absent. */
function checkEndpoints(idp: Idp, metadata: oauth.AuthorizationServer): oauth.AuthorizationServer {
  for (const name of ['authorization_endpoint', 'token_endpoint', 'jwks_uri'] as const) {
    const value = metadata[name];
    if (value === undefined || !URL.canParse(value)) {
      throw new SallyportError('idp_bad_response', { detail: `metadata of ${idp.issuer} has no usable ${name}` });
    }
  }
  checkDemands(idp, metadata);
  const usable = usableEndpoints(idp, metadata);
  const { mtls_endpoint_aliases: aliases } = metadata;
  if (aliases !== undefined) usable['mtls_endpoint_aliases'] = usableEndpoints(idp, aliases);
  return usable as oauth.AuthorizationServer;
}

function usableEndpoints(idp: Idp, endpoints: object): Record<string, unknown> {
  const usable: Record<string, unknown> = { ...endpoints };
  for (const [name, value] of Object.entries(endpoints)) {
    if (!name.endsWith('_endpoint') && name !== 'jwks_uri') continue;
    if (typeof value !== 'string' || !URL.canParse(value)) {
      delete usable[name];
      continue;
    }
    if (new URL(value).protocol !== 'https:' && !isLoopbackHttp(value)) {
      throw new SallyportError('idp_bad_response', { detail: `${name} of ${idp.issuer} is not https` });
    }
  }
  return usable;
}

/** What the provider demands and offers must fit what the configuration does. */
function checkDemands({ issuer, par, dpop }: Idp, metadata: oauth.AuthorizationServer): void {
  const refuse = (detail: string): never => {
    throw new SallyportError('idp_bad_response', { detail: `${issuer} ${detail}` });
  };
  const pushes = metadata.pushed_authorization_request_endpoint !== undefined;
  if (par === 'never' && metadata.require_pushed_authorization_requests === true) {
    refuse('demands pushed authorization requests: set par to auto');
  }
  if (!pushes && (par === 'require' || metadata.require_pushed_authorization_requests === true)) {
    refuse('has no pushed_authorization_request_endpoint');
  }
  const algorithms = metadata.dpop_signing_alg_values_supported;
  if (dpop === 'require' && Array.isArray(algorithms) && !algorithms.includes('ES256')) {
    refuse('takes no ES256 in proofs of possession');
  }
}

/** The server's own calls go to the back channel; the browser's endpoints and the issuer stay (SPEC §2.4). */
function withBackchannel(idp: Idp, metadata: oauth.AuthorizationServer): oauth.AuthorizationServer {
  const { backchannelUrl } = idp;
  if (backchannelUrl === undefined) return metadata;
  const moved: Record<string, unknown> = { ...metadata };
  for (const name of [...BACKCHANNEL, 'jwks_uri']) {
    const value = moved[name];
    if (typeof value === 'string') moved[name] = moveOrigin(new URL(value), backchannelUrl).href;
  }
  // The operator has said where these calls go.
  delete moved['mtls_endpoint_aliases'];
  return moved as oauth.AuthorizationServer;
}

function moveOrigin(url: URL, origin: string): URL {
  return new URL(url.pathname + url.search, origin);
}

/** Metadata of explicit endpoints instead of discovery. */
export function explicitMetadata(idp: Idp): oauth.AuthorizationServer {
  const { authorization, token, jwks, userinfo, revocation, endSession, par } = idp.endpoints ?? {};
  const metadata = {
    issuer: idp.issuer,
    ...(authorization === undefined ? {} : { authorization_endpoint: authorization }),
    ...(token === undefined ? {} : { token_endpoint: token }),
    ...(jwks === undefined ? {} : { jwks_uri: jwks }),
    ...(userinfo === undefined ? {} : { userinfo_endpoint: userinfo }),
    ...(revocation === undefined ? {} : { revocation_endpoint: revocation }),
    ...(par === undefined ? {} : { pushed_authorization_request_endpoint: par }),
    ...(endSession === undefined ? {} : { end_session_endpoint: endSession }),
  };
  return withBackchannel(idp, metadata);
}

/** Plain http is acceptable only where nobody can listen in. */
export function isLoopbackHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return (
    protocol === 'http:' && (hostname === 'localhost' || /^127(?:\.\d{1,3}){3}$/.test(hostname) || hostname === '[::1]')
  );
}
