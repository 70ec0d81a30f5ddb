const DURATIONS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZES_BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1_024,
  MiB: 1_048_576,
  GiB: 1_073_741_824,
};

/** Milliseconds of `250ms`, `1.5s`, `30m`, `12h`, `7d`; undefined for anything else, also for a number without unit. */
export function parseDurationMs(text: string): number | undefined {
  return parse(text, DURATIONS_MS);
}

/** Bytes of `512B`, `16KiB`, `10MB`; undefined for anything else, also for a number without unit. */
export function parseSizeBytes(text: string): number | undefined {
  return parse(text, SIZES_BYTES);
}

/** Milliseconds of a text that the schema accepted. Throws a TypeError otherwise: a fault of the program. */
export function durationMs(text: string): number {
  return known(parseDurationMs(text), text);
}

/** Bytes of a text that the schema accepted. Throws a TypeError otherwise: a fault of the program. */
export function sizeBytes(text: string): number {
  return known(parseSizeBytes(text), text);
}

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const [, amount, unit] = /^(\d{1,12}(?:\.\d{1,3})?)([A-Za-z]{1,3})$/.exec(text) ?? [];
  if (amount === undefined || unit === undefined || !Object.hasOwn(units, unit)) return undefined;
  return Math.round(Number(amount) * (units[unit] ?? 0));
}

function known(value: number | undefined, text: string): number {
  if (value === undefined) throw new TypeError(`unit text not validated (${text.length} characters)`);
  return value;
}
