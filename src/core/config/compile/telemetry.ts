import { LIMITS } from '../../limits.ts';
import { sizeBytes } from '../schema/units.ts';
import type { TelemetrySettings } from '../types-telemetry.ts';
import type { CompileContext } from './context.ts';
import { compileKeyedRateLimit } from './rate-limits.ts';

const NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

/** `telemetry_sink` compiled; undefined = off. */
export function compileTelemetry({ settings }: CompileContext): TelemetrySettings | undefined {
  const { telemetry_sink: sink } = settings.sections;
  if (sink === undefined || !sink.enabled) return undefined;
  const { names } = sink;
  for (const [index, name] of names.entries()) {
    if (NAME.test(name)) continue;
    const expected = 'a letter, then letters, digits and _, at most 64';
    settings.fail(['telemetry_sink', 'names', index], '{value} cannot be the name of a metric', expected, 'rename it');
  }
  if (names.length > LIMITS.telemetryNamesMax) {
    const expected = `at most ${LIMITS.telemetryNamesMax}`;
    settings.fail(['telemetry_sink', 'names'], `${names.length} names`, expected, 'remove some');
  }
  if (names.length === 0) settings.warn(['telemetry_sink'], 'without names: whoever sends numbers chooses their names');
  const rate = compileKeyedRateLimit(settings, ['telemetry_sink', 'rate_limit'], sink.rate_limit, ['client_ip']);
  if (rate === undefined) return undefined;
  return {
    bodyMaxBytes: sizeBytes(sink.body_bytes),
    rateLimit: rate,
    names: new Set(names),
    labelValuesMax: sink.label_values_max,
  };
}
