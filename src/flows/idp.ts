import type * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import type { Clock } from '../core/clock.ts';
import type { Idp } from '../core/config/types.ts';
import { createDpopNonces, type DpopNonces } from '../core/dpop-nonces.ts';
import { isSallyportError, SallyportError } from '../core/errors.ts';
import { LIMITS } from '../core/limits.ts';
import type { Logger } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import { createOutbound, type OutboundFetch } from '../core/outbound.ts';
import type { Pace } from '../core/pace.ts';
import { compileClientAuth, presentsCertificate } from './client-auth.ts';
import { withBreaker } from './idp-breaker.ts';
import { createIdpKeys } from './idp-keys.ts';
import { explicitMetadata, isLoopbackHttp, type RequestOptions, readMetadata } from './idp-metadata.ts';

/** A provider at run time: its metadata, keys and client, kept fresh in the background. */
export type IdpRuntime = {
  readonly idp: Idp;
  readonly fetch: OutboundFetch;
  readonly clock: Clock;
  readonly dpopNonces: DpopNonces;
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
  readonly requestOptions: RequestOptions;
  /** Say what is not as configured, each text once in this provider's life. */
  warnOnce(message: string): void;
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
  /** Each answer is gone on with in a turn of its own. */
  readonly pace: Pace;
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
    ...idp.tls,
  });
  const fetch = paced(options.pace, withoutOutages(withBreaker(measured(options, outbound.fetch), clock)));
  const insecure = isLoopbackHttp(idp.issuer) || idp.backchannelUrl?.startsWith('http:') === true;
  const requestOptions = { [oauth.customFetch]: fetch, [oauth.allowInsecureRequests]: insecure };
  const source = createMetadataSource(options, requestOptions);
  const keys = createIdpKeys({ idp, clock, fetch, findUri: () => source.find()?.jwks_uri });
  return {
    idp,
    fetch,
    clock,
    dpopNonces: createDpopNonces(LIMITS.dpopNonceOriginsMax),
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
      use_mtls_endpoint_aliases: presentsCertificate(idp),
    }),
    clientAuth: compileClientAuth(idp.clientAuth),
    keys,
    requestOptions,
    warnOnce: createWarnOnce(options),
    sockets: outbound.sockets,
    async close() {
      source.stop();
      await outbound.close();
    },
  };
}

function createWarnOnce({ idp, log }: IdpOptions): IdpRuntime['warnOnce'] {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message)) return;
    said.add(message);
    log.warn({ idp: idp.name }, message);
  };
}

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

function paced(pace: Pace, fetch: OutboundFetch): OutboundFetch {
  return async (url, init) => {
    const response = await fetch(url, init);
    await pace();
    return response;
  };
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
