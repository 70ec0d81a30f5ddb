/** An object of JSON whose members nobody has looked at. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** True for what JSON calls an object: neither an array nor null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
