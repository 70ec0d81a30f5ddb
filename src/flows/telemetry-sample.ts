import { SallyportError } from '../core/errors.ts';
import { isJsonObject } from '../core/json-object.ts';
import { LIMITS } from '../core/limits.ts';
import type { TelemetrySample } from '../core/telemetry-series.ts';
import { isPersonal, isPersonalName, withoutQuery } from './telemetry-privacy.ts';

/** What stands for a label value that may be personal. */
const MASKED = 'redacted';
const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;
const UNIT = /^[A-Za-z%/]{0,16}$/;
const LABEL = /^[a-z][a-z0-9_]{0,31}$/;
/** Labels that mean something to Prometheus or to us. */
const RESERVED_LABELS = new Set(['le', 'quantile', 'unit', 'overflow', 'job', 'instance']);
const MEMBERS = new Set(['name', 'value', 'unit', 'labels']);
/** Above it a sum would lose the numbers that follow. */
const VALUE_MAX = 1e12;

/**
 * The samples of a body: one object or an array of them, `{name, value?, unit?, labels?}`; a value that is absent is 1,
 * so that events can be counted. All are good or none is taken.
 * @param names accepted ones; empty = every well-formed one that is not personal by its look.
 * @throws bad_request, which says what is wrong and repeats nothing of it.
 */
export function readSamples(body: string, names: ReadonlySet<string>): readonly TelemetrySample[] {
  if (body === '') return [];
  const data = parseJson(body);
  const list: readonly unknown[] = Array.isArray(data) ? data : [data];
  if (list.length > LIMITS.telemetryBatchMax) throw invalid(`at most ${LIMITS.telemetryBatchMax} samples at once`);
  return list.map((item, index) => readSample(item, names, `sample ${index + 1}: `));
}

function readSample(item: unknown, names: ReadonlySet<string>, at: string): TelemetrySample {
  if (!isJsonObject(item)) throw invalid(`${at}expected an object`);
  if (Object.keys(item).some((key) => !MEMBERS.has(key))) {
    throw invalid(`${at}expected name, value, unit and labels alone`);
  }
  const { name, value = 1, unit = '', labels = {} } = item;
  if (typeof name !== 'string' || !isAcceptedName(name, names)) throw invalid(`${at}name is not accepted`);
  if (typeof value !== 'number' || !(value >= 0 && value <= VALUE_MAX)) {
    throw invalid(`${at}value must be a number from 0 to 1e12`);
  }
  if (typeof unit !== 'string' || !UNIT.test(unit) || isPersonal(unit)) throw invalid(`${at}unit is not accepted`);
  if (!isJsonObject(labels)) throw invalid(`${at}labels must be an object`);
  return { name, value, ...readLabels(labels, unit, at) };
}

function isAcceptedName(name: string, names: ReadonlySet<string>): boolean {
  return names.size > 0 ? names.has(name) : NAME.test(name) && !isPersonal(name);
}

function readLabels(given: object, unit: string, at: string): Pick<TelemetrySample, 'labels' | 'masked'> {
  const entries = Object.entries(given);
  if (entries.length > LIMITS.telemetrySampleLabelsMax) {
    throw invalid(`${at}at most ${LIMITS.telemetrySampleLabelsMax} labels`);
  }
  const labels = new Map<string, string>(unit === '' ? [] : [['unit', unit]]);
  let masked = 0;
  for (const [name, value] of entries) {
    if (!LABEL.test(name) || RESERVED_LABELS.has(name) || isPersonal(name)) {
      throw invalid(`${at}a label has no usable name`);
    }
    if (typeof value !== 'string' && typeof value !== 'boolean' && typeof value !== 'number') {
      throw invalid(`${at}label values must be texts, numbers or booleans`);
    }
    const text = withoutQuery(String(value));
    const isMasked = isPersonalName(name) || isPersonal(text);
    if (isMasked) masked += 1;
    labels.set(name, isMasked ? MASKED : text);
  }
  return { labels, masked };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw invalid('the body is no JSON');
  }
}

function invalid(problem: string): SallyportError {
  return new SallyportError('bad_request', { detail: `telemetry: ${problem}`, publicDetail: `${capital(problem)}.` });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
