import type * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import type { Clock } from '../core/clock.ts';
import type { Idp } from '../core/config/types.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import { createOutbound, type OutboundFetch } from '../core/outbound.ts';
import { createIdpKeys } from './idp-keys.ts';

/** A provider at run time: its metadata, keys and client, kept fresh in the background. */
export type IdpRuntime = {
  readonly idp: Idp;
  readonly fetch: OutboundFetch;
  /**
   * Metadata as last read.
   * @throws idp_unavailable if there is none yet: the provider has never answered.
   */
  metadata(): oauth.AuthorizationServer;
  /** True once metadata is there (D-43). */
  isReady(): boolean;
  /** False while the last reading of the metadata failed. */
  isReachable(): boolean;
  /** The client for oauth4webapi, with the clock's offset and tolerated skew. */
  client(): oauth.Client;
  readonly clientAuth: oauth.ClientAuth;
  /** Keys for ID-token signatures; an unknown `kid` refetches at most once per cool-down. */
  readonly keys: jose.JWTVerifyGetKey;
  /** Request options of every call: our fetch, and plain http where the configuration allows it. */
  readonly requestOptions: {
    readonly [oauth.customFetch]: OutboundFetch;
    readonly [oauth.allowInsecureRequests]: boolean;
  };
  /** Open sockets towards this provider. */
  sockets(): number;
  close(): Promise<void>;
};

/** What a provider is made of. */
export type IdpOptions = {
  readonly idp: Idp;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
};

const RETRY_FIRST_MS = 500;
const RETRY_MAX_MS = 15_000;

/**
 * Create a provider and begin to read its metadata. Never fails for a provider that is away: the start goes on, the
 * reading is retried with back-off, and a provider that goes away later keeps its last metadata (SPEC §2.4).
 */
export function createIdp(options: IdpOptions): IdpRuntime {
  const { idp, clock } = options;
  const outbound = createOutbound({
    connectTimeoutMs: idp.timeout.connectMs,
    totalTimeoutMs: idp.timeout.totalMs,
    bodyMaxBytes: LIMITS.idpResponseMaxBytes,
    ca: idp.tls.ca,
  });
  const fetch = withoutOutages(measured(options, outbound.fetch));
  const insecure = isLoopbackHttp(idp.issuer) || idp.backchannelUrl?.startsWith('http:') === true;
  const requestOptions = { [oauth.customFetch]: fetch, [oauth.allowInsecureRequests]: insecure };
  const source = createMetadataSource(options, requestOptions);
  const keys = createIdpKeys({ idp, clock, fetch, findUri: () => source.find()?.jwks_uri });
  return {
    idp,
    fetch,
    metadata() {
      const metadata = source.find();
      if (metadata === undefined) {
        throw new SallyportError('idp_unavailable', { detail: `no metadata of ${idp.issuer} yet`, retryAfterS: 5 });
      }
      return metadata;
    },
    isReady: () => source.find() !== undefined,
    isReachable: source.isReachable,
    client: () => ({
      client_id: idp.clientId,
      [oauth.clockSkew]: Math.round((clock.now() - Date.now()) / 1000),
      [oauth.clockTolerance]: Math.ceil(idp.clockSkewMs / 1000),
    }),
    clientAuth: clientAuthOf(idp),
    keys,
    requestOptions,
    sockets: outbound.sockets,
    async close() {
      source.stop();
      await outbound.close();
    },
  };
}

type RequestOptions = IdpRuntime['requestOptions'];

/** Reads metadata at once, then at the configured interval; failures back off and keep what there is. */
function createMetadataSource(options: IdpOptions, requestOptions: RequestOptions) {
  const { idp, log } = options;
  const fixed = idp.endpoints === undefined ? undefined : explicitMetadata(idp);
  let current: oauth.AuthorizationServer | undefined = fixed;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let stopped = false;
  const schedule = (delayMs: number): void => {
    timer = setTimeout(() => void read(), delayMs);
    timer.unref();
  };
  const read = async (): Promise<void> => {
    try {
      current = await readMetadata(idp, requestOptions);
      failures = 0;
      if (!stopped) schedule(idp.metadataRefreshMs);
    } catch (error) {
      if (stopped) return;
      failures += 1;
      log.warn({ err: error, idp: idp.name, failures }, 'provider metadata could not be read; trying again');
      schedule(Math.min(RETRY_FIRST_MS * 2 ** (failures - 1), RETRY_MAX_MS));
    }
  };
  if (fixed === undefined) void read();
  const stop = (): void => {
    stopped = true;
    clearTimeout(timer);
  };
  return { find: () => current, isReachable: () => failures === 0, stop };
}

async function readMetadata(idp: Idp, requestOptions: RequestOptions): Promise<oauth.AuthorizationServer> {
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
  if (metadata.require_pushed_authorization_requests === true) {
    throw new SallyportError('idp_bad_response', {
      detail: `${idp.issuer} demands pushed authorization requests, which are not available in this version`,
    });
  }
  const usable: Record<string, unknown> = { ...metadata };
  for (const [name, value] of Object.entries(metadata)) {
    if (!name.endsWith('_endpoint') && name !== 'jwks_uri') continue;
    if (typeof value !== 'string' || !URL.canParse(value)) {
      delete usable[name];
      continue;
    }
    if (new URL(value).protocol !== 'https:' && !isLoopbackHttp(value)) {
      throw new SallyportError('idp_bad_response', { detail: `${name} of ${idp.issuer} is not https` });
    }
  }
  return usable as oauth.AuthorizationServer;
}

/** The server's own calls go to the back channel; the browser's endpoints and the issuer stay (SPEC §2.4). */
function withBackchannel(idp: Idp, metadata: oauth.AuthorizationServer): oauth.AuthorizationServer {
  const { backchannelUrl } = idp;
  if (backchannelUrl === undefined) return metadata;
  const moved: Record<string, unknown> = { ...metadata };
  for (const name of [
    'token_endpoint',
    'jwks_uri',
    'userinfo_endpoint',
    'revocation_endpoint',
    'introspection_endpoint',
  ]) {
    const value = moved[name];
    if (typeof value === 'string') moved[name] = moveOrigin(new URL(value), backchannelUrl).href;
  }
  return moved as oauth.AuthorizationServer;
}

function moveOrigin(url: URL, origin: string): URL {
  return new URL(url.pathname + url.search, origin);
}

function explicitMetadata(idp: Idp): oauth.AuthorizationServer {
  const { authorization, token, jwks, userinfo, revocation, endSession } = idp.endpoints ?? {};
  const metadata = {
    issuer: idp.issuer,
    ...(authorization === undefined ? {} : { authorization_endpoint: authorization }),
    ...(token === undefined ? {} : { token_endpoint: token }),
    ...(jwks === undefined ? {} : { jwks_uri: jwks }),
    ...(userinfo === undefined ? {} : { userinfo_endpoint: userinfo }),
    ...(revocation === undefined ? {} : { revocation_endpoint: revocation }),
    ...(endSession === undefined ? {} : { end_session_endpoint: endSession }),
  };
  return withBackchannel(idp, metadata);
}

function clientAuthOf(idp: Idp): oauth.ClientAuth {
  switch (idp.clientAuth.method) {
    case 'none':
      return oauth.None();
    case 'client_secret_basic':
      return oauth.ClientSecretBasic(idp.clientAuth.secret);
    case 'client_secret_post':
      return oauth.ClientSecretPost(idp.clientAuth.secret);
  }
}

/** A provider that is down or asks for a pause means the same to every caller, whatever its answer says. */
function withoutOutages(fetch: OutboundFetch): OutboundFetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    if (response.status < 500 && response.status !== 429) return response;
    const detail = `${new URL(url).pathname} answered ${response.status}`;
    throw new SallyportError('idp_unavailable', { detail, retryAfterS: 5 });
  };
}

/** Count and time every call by its endpoint's last path segment, never by its query. */
function measured({ idp, metrics }: IdpOptions, fetch: OutboundFetch): OutboundFetch {
  return async (url, init) => {
    const kind = new URL(url).pathname.split('/').at(-1) ?? '';
    const { idpCalls, idpSeconds } = metrics;
    const end = idpSeconds.startTimer({ idp: idp.name, kind });
    try {
      const response = await fetch(url, init);
      idpCalls.inc({ idp: idp.name, kind, outcome: String(response.status) });
      return response;
    } catch (error) {
      idpCalls.inc({ idp: idp.name, kind, outcome: isSallyportError(error) ? error.code : 'error' });
      throw error;
    } finally {
      end();
    }
  };
}

/** Plain http is acceptable only where nobody can listen in. */
export function isLoopbackHttp(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return (
    protocol === 'http:' && (hostname === 'localhost' || /^127(?:\.\d{1,3}){3}$/.test(hostname) || hostname === '[::1]')
  );
}
