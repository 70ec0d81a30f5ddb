import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Plain numbers that the hot path raises; prom-client reads them when it is asked. */
export type HotCounters = {
  verifyAllow: number;
  verifyLogin: number;
  /** Refusals by error code (D-10). */
  readonly refused: Map<string, number>;
  requests: number;
  inFlight: number;
  connections: number;
};

/** Counters of the process. */
export type Metrics = {
  readonly hot: HotCounters;
  /** Calls to a provider by kind and outcome. */
  readonly idpCalls: Counter<'idp' | 'kind' | 'outcome'>;
  readonly idpSeconds: Histogram<'idp' | 'kind'>;
  /** Logins by outcome: `ok` or an error code. */
  readonly logins: Counter<'idp' | 'outcome'>;
  readonly logouts: Counter<'kind'>;
  /** Prometheus text exposition. */
  exposition(): Promise<string>;
};

/** Create the process's metrics in a registry of their own. */
export function createMetrics(sources: { storeReachable(): boolean; outboundSockets(): number }): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const hot: HotCounters = {
    verifyAllow: 0,
    verifyLogin: 0,
    refused: new Map(),
    requests: 0,
    inFlight: 0,
    connections: 0,
  };
  counter(registry, 'sallyport_verify_allowed_total', 'Verify answers 200', () => hot.verifyAllow);
  counter(registry, 'sallyport_verify_login_redirects_total', 'Verify answers 302', () => hot.verifyLogin);
  counter(registry, 'sallyport_requests_total', 'Requests on all listeners', () => hot.requests);
  gauge(registry, 'sallyport_requests_in_flight', 'Requests being answered', () => hot.inFlight);
  gauge(registry, 'sallyport_connections', 'Open inbound connections', () => hot.connections);
  gauge(registry, 'sallyport_store_reachable', '1 if the last store command succeeded', () =>
    sources.storeReachable() ? 1 : 0,
  );
  gauge(registry, 'sallyport_outbound_sockets', 'Open sockets to providers', sources.outboundSockets);
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
    exposition: () => registry.metrics(),
  };
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

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
