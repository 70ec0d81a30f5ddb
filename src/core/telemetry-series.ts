import { Counter, type Metric, type Registry } from 'prom-client';
import { LIMITS } from './limits.ts';

/** One accepted number of the front end; nothing in it is anybody's. */
export type TelemetrySample = {
  /** Letters, digits and `_`. */
  readonly name: string;
  /** Finite, not negative. */
  readonly value: number;
  /** Names and values in plain ASCII; the unit is the label `unit`. */
  readonly labels: ReadonlyMap<string, string>;
  /** Label values that were masked. */
  readonly masked: number;
};

/** What stands for the values of a label beyond its bound. */
const OTHER = 'other';
const PREFIX = 'sallyport_frontend_';

type Series = { readonly labels: Readonly<Record<string, string>>; count: number; sum: number };

/**
 * The numbers of the front end as Prometheus summaries without quantiles: `sallyport_frontend_<name>_sum` and `_count`.
 * Everything is bounded, and what is beyond a bound is counted all the same where it can be: further values of a label
 * as `other`, further labels not at all, further series as `overflow="true"`; only samples of further names are dropped.
 */
export class TelemetrySeries {
  readonly #registry: Registry;
  readonly #families = new Map<string, Family>();
  readonly #outcomes: Counter<'outcome'>;
  readonly #masked: Counter;
  #size = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
    const registers = [registry];
    this.#outcomes = new Counter({
      name: 'sallyport_telemetry_samples_total',
      help: 'Numbers of the front end by outcome',
      labelNames: ['outcome'],
      registers,
    });
    this.#masked = new Counter({
      name: 'sallyport_telemetry_masked_total',
      help: 'Label values of the front end that were masked',
      registers,
    });
  }

  /** Count one sample. @param valuesMax different values of one label */
  record({ name, value, labels, masked }: TelemetrySample, valuesMax: number): void {
    this.#masked.inc(masked);
    const family = this.#families.get(name) ?? this.#create(name);
    if (family === undefined) {
      this.#outcomes.inc({ outcome: 'dropped' });
      return;
    }
    const bounded = family.bound(labels, valuesMax);
    const known = family.series.get(bounded.key);
    const room = known !== undefined || this.#size < LIMITS.telemetrySeriesMax;
    if (known === undefined && room) this.#size += 1;
    family.add(room ? bounded.key : '', room ? bounded.labels : { overflow: 'true' }, value);
    this.#outcomes.inc({ outcome: room && !bounded.isCut ? 'counted' : 'overflow' });
  }

  #create(name: string): Family | undefined {
    if (this.#families.size >= LIMITS.telemetryNamesMax) return undefined;
    const family = new Family(`${PREFIX}${name}`);
    this.#families.set(name, family);
    // The registry asks for no more than a name and `get`; prom-client's own classes want to know all labels first.
    this.#registry.registerMetric(family as unknown as Metric);
    return family;
  }
}

type Bounded = { readonly key: string; readonly labels: Record<string, string>; readonly isCut: boolean };

/** All series of one name. */
class Family {
  readonly name: string;
  readonly series = new Map<string, Series>();
  /** Values seen of each label. */
  readonly #values = new Map<string, Set<string>>();

  constructor(name: string) {
    this.name = name;
  }

  /** The labels within their bounds, in one order. */
  bound(labels: ReadonlyMap<string, string>, valuesMax: number): Bounded {
    const kept: Record<string, string> = {};
    let isCut = false;
    for (const name of [...labels.keys()].sort()) {
      const values = this.#valuesOf(name);
      const value = labels.get(name) ?? '';
      const isKnown = values !== undefined && (values.has(value) || values.size < valuesMax);
      if (!isKnown) isCut = true;
      if (values === undefined) continue;
      if (isKnown) values.add(value);
      kept[name] = isKnown ? value : OTHER;
    }
    return { key: JSON.stringify(kept), labels: kept, isCut };
  }

  add(key: string, labels: Readonly<Record<string, string>>, value: number): void {
    const series = this.series.get(key) ?? { labels, count: 0, sum: 0 };
    series.count += 1;
    series.sum += value;
    this.series.set(key, series);
  }

  /** What prom-client asks a metric for. */
  async get(): Promise<object> {
    const values = [...this.series.values()].flatMap(({ labels, count, sum }) => [
      { metricName: `${this.name}_sum`, labels, value: sum },
      { metricName: `${this.name}_count`, labels, value: count },
    ]);
    return { name: this.name, help: 'Numbers that browsers sent', type: 'summary', aggregator: 'sum', values };
  }

  #valuesOf(label: string): Set<string> | undefined {
    const known = this.#values.get(label);
    if (known !== undefined || this.#values.size >= LIMITS.telemetryLabelsMax) return known;
    const values = new Set<string>();
    this.#values.set(label, values);
    return values;
  }
}
