/** Most specific first: nearly every browser also claims to be Safari, and most claim to be Chrome. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?(?:iOS)?\//, 'Edge'],
  [/\bOPR\/|\bOPT\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\bFirefox\/|\bFxiOS\//, 'Firefox'],
  [/\bHeadlessChrome\//, 'Headless Chrome'],
  [/\bChrom(?:e|ium)\/|\bCriOS\//, 'Chrome'],
  [/\bSafari\//, 'Safari'],
];

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bLinux\b/, 'Linux'],
];

/** Text of a User-Agent that is looked at. */
const READ_MAX_CHARS = 512;

/**
 * A name for the device behind a User-Agent header (RFC 9110 §10.1.5), for a person to recognise: `Firefox on Linux`,
 * `curl`. Only words of ours, or the first product's name of at most 32 token characters; `Unknown device` otherwise.
 */
export function deviceOf(userAgent: string): string {
  const text = userAgent.slice(0, READ_MAX_CHARS);
  const system = SYSTEMS.find(([pattern]) => pattern.test(text))?.[1];
  const browser = BROWSERS.find(([pattern]) => pattern.test(text))?.[1];
  if (browser !== undefined) return system === undefined ? browser : `${browser} on ${system}`;
  const product = /^([A-Za-z0-9._-]{1,32})(?:\/|$|\s)/.exec(text)?.[1];
  if (product === undefined || product === 'Mozilla') return system ?? 'Unknown device';
  return product;
}
