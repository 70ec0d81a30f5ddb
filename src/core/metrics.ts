import { Counter, Gauge, Histogram, type Metric, Registry } from 'prom-client';
import type { L1Counts } from './l1.ts';
import type { StoreReadCounts } from './store.ts';
import { TelemetrySeries } from './telemetry-series.ts';
import { LATENCY_BUCKETS_S, VerifyLatency } from './verify-latency.ts';

/** Plain numbers that the hot path raises; prom-client reads them when it is asked. */
export type HotCounters = {
  verifyAllow: number;
  verifyLogin: number;
  /** Refusals by error code (D-10). */
  readonly refused: Map<string, number>;
  requests: number;
  inFlight: number;
  /** Those of them at the operator's listener: no load. */
  operatorsInFlight: number;
  connections: number;
  /** WebSockets that clients have open, and those to services. */
  webSockets: number;
  serviceWebSockets: number;
};

/** Counters of the process. */
export type Metrics = {
  readonly hot: HotCounters;
  readonly verifyLatency: VerifyLatency;
  /** Calls to a provider by kind and outcome. */
  readonly idpCalls: Counter<'idp' | 'kind' | 'outcome'>;
  readonly idpSeconds: Histogram<'idp' | 'kind'>;
  /** Logins by outcome: `ok` or an error code. */
  readonly logins: Counter<'idp' | 'outcome'>;
  readonly logouts: Counter<'kind'>;
  /** Refreshes by outcome: `renewed`, `kept_<error code>`, `ended`, `superseded`. */
  readonly refreshes: Counter<'idp' | 'outcome'>;
  /** Looks for the token of a service that was not kept, by outcome: `ok` or an error code. */
  readonly serviceTokens: Counter<'service' | 'outcome'>;
  /** Refreshes under way in this process. */
  readonly refreshesInFlight: Gauge;
  /** Numbers of the front end (SPEC §13). */
  readonly telemetry: TelemetrySeries;
  /** Prometheus text exposition. */
  exposition(): Promise<string>;
  /** The same as plain data, for the sum over several processes. */
  snapshot(): Promise<readonly object[]>;
};

/** Where numbers are read when somebody asks for them. */
export type MetricSources = {
  storeReachable(): boolean;
  outboundSockets(): number;
  /** How hot reads were made. */
  storeReads(): Readonly<StoreReadCounts>;
  /** Writes that too few replicas confirmed (D-18). */
  storeUnreplicated(): number;
  /** The cache of sessions; undefined = off by configuration. */
  l1(): L1View | undefined;
};

/** What metrics show of the cache of sessions. */
export type L1View = {
  readonly counts: Readonly<L1Counts>;
  readonly size: number;
  readonly bytes: number;
  /** Whether what is kept may be served now. */
  readonly isCurrent: boolean;
};

/** Create the process's metrics in a registry of their own. */
export function createMetrics(sources: MetricSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const hot = createHotCounters();
  counter(registry, 'sallyport_verify_allowed_total', 'Verify answers 200', () => hot.verifyAllow);
  counter(registry, 'sallyport_verify_login_redirects_total', 'Verify answers 302', () => hot.verifyLogin);
  counter(registry, 'sallyport_requests_total', 'Requests on all listeners', () => hot.requests);
  gauge(registry, 'sallyport_requests_in_flight', 'Requests being answered', () => hot.inFlight);
  gauge(registry, 'sallyport_connections', 'Open inbound connections', () => hot.connections);
  gauge(registry, 'sallyport_websockets', 'Open WebSockets of clients', () => hot.webSockets);
  gauge(registry, 'sallyport_service_websockets', 'Open WebSockets to services', () => hot.serviceWebSockets);
  const verifyLatency = createVerifyLatency(registry);
  const readStore = (): number => (sources.storeReachable() ? 1 : 0);
  gauge(registry, 'sallyport_store_reachable', '1 if the last store command succeeded', readStore, 'min');
  gauge(registry, 'sallyport_outbound_sockets', 'Open sockets to providers', sources.outboundSockets);
  registerStore(registry, sources);
  new Counter({
    name: 'sallyport_refused_total',
    help: 'Refusals by error code',
    labelNames: ['code'],
    registers,
    collect() {
      this.reset();
      for (const [code, count] of hot.refused) this.inc({ code }, count);
    },
  });
  return {
    hot,
    verifyLatency,
    idpCalls: new Counter({
      name: 'sallyport_idp_calls_total',
      help: 'Calls to identity providers',
      labelNames: ['idp', 'kind', 'outcome'],
      registers,
    }),
    idpSeconds: new Histogram({
      name: 'sallyport_idp_call_seconds',
      help: 'Duration of calls to identity providers',
      labelNames: ['idp', 'kind'],
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10],
      registers,
    }),
    logins: new Counter({
      name: 'sallyport_logins_total',
      help: 'Sign-ins by outcome',
      labelNames: ['idp', 'outcome'],
      registers,
    }),
    logouts: new Counter({ name: 'sallyport_logouts_total', help: 'Sign-outs', labelNames: ['kind'], registers }),
    ...createRefreshMetrics(registers),
    telemetry: new TelemetrySeries(registry),
    exposition: () => registry.metrics(),
    snapshot: () => registry.getMetricsAsJSON(),
  };
}

function createHotCounters(): HotCounters {
  return {
    verifyAllow: 0,
    verifyLogin: 0,
    refused: new Map(),
    requests: 0,
    inFlight: 0,
    operatorsInFlight: 0,
    connections: 0,
    webSockets: 0,
    serviceWebSockets: 0,
  };
}

function createRefreshMetrics(
  registers: Registry[],
): Pick<Metrics, 'refreshes' | 'refreshesInFlight' | 'serviceTokens'> {
  return {
    serviceTokens: new Counter({
      name: 'sallyport_service_tokens_total',
      help: 'Looks for tokens of services by outcome',
      labelNames: ['service', 'outcome'],
      registers,
    }),
    refreshes: new Counter({
      name: 'sallyport_refreshes_total',
      help: 'Token refreshes by outcome',
      labelNames: ['idp', 'outcome'],
      registers,
    }),
    refreshesInFlight: new Gauge({
      name: 'sallyport_refreshes_in_flight',
      help: 'Token refreshes under way',
      registers,
    }),
  };
}

function registerStore(registry: Registry, { storeReads, storeUnreplicated, l1 }: MetricSources): void {
  counter(registry, 'sallyport_store_lookups_total', 'Session look-ups sent to the store', () => storeReads().lookups);
  counter(registry, 'sallyport_store_read_writes_total', 'Writes that carried them', () => storeReads().writes);
  counter(registry, 'sallyport_store_reads_refused_total', 'Too many reads waited', () => storeReads().refused);
  const unreplicatedHelp = 'Sign-outs and rotated tokens that too few replicas confirmed in time';
  counter(registry, 'sallyport_store_wait_missed_total', unreplicatedHelp, storeUnreplicated);
  const count = (name: string, help: string, key: keyof L1Counts): void =>
    counter(registry, `sallyport_l1_${name}_total`, help, () => l1()?.counts[key] ?? 0);
  count('hits', 'Sessions served from the cache', 'hits');
  count('misses', 'Sessions not in the cache', 'misses');
  count('evictions', 'Sessions forgotten for want of room', 'evictions');
  count('invalidations', 'Changes of sessions heard of', 'invalidations');
  count('flushes', 'Times that the whole cache was forgotten', 'flushes');
  gauge(registry, 'sallyport_l1_entries', 'Sessions in the cache', () => l1()?.size ?? 0);
  gauge(registry, 'sallyport_l1_bytes', 'Memory that they take, about', () => l1()?.bytes ?? 0);
  gauge(registry, 'sallyport_l1_current', '1 while the cache may be used', () => (l1()?.isCurrent ? 1 : 0), 'min');
}

/** Its buckets are counted on the hot path; here they are said as prom-client would. */
function createVerifyLatency(registry: Registry): VerifyLatency {
  const latency = new VerifyLatency();
  const name = 'sallyport_verify_seconds';
  const help = 'Time from a verify request to its answer';
  const read = () => {
    let count = 0;
    const values = [...LATENCY_BUCKETS_S, '+Inf'].map((le, at) => {
      count += latency.counts[at]!;
      return { metricName: `${name}_bucket`, labels: { le }, value: count };
    });
    const totals = [
      { metricName: `${name}_sum`, labels: {}, value: latency.sumS },
      { metricName: `${name}_count`, labels: {}, value: count },
    ];
    return { name, help, type: 'histogram', aggregator: 'sum', values: [...values, ...totals] };
  };
  registry.registerMetric({ name, get: async () => read(), reset() {} } as unknown as Metric);
  return latency;
}

/** The number itself is raised on the hot path; prom-client learns of it only when it is asked. */
function counter(registry: Registry, name: string, help: string, read: () => number): void {
  new Counter({
    name,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/** @param aggregator how the values of several workers become one. */
function gauge(
  registry: Registry,
  name: string,
  help: string,
  read: () => number,
  aggregator: 'sum' | 'min' = 'sum',
): void {
  new Gauge({
    name,
    help,
    aggregator,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
