const KEY_BYTES = 32;
/** Of 32 random bytes fewer than 20 different ones are seen once in 10^9 keys or less. */
const DISTINCT_BYTES_MIN = 20;

/** The bytes of a seal key in base64url (or base64); empty for other text. */
export function decodeSealKey(text: string): Buffer {
  return /^[A-Za-z0-9_+/-]*={0,2}$/.test(text) ? Buffer.from(text, 'base64') : Buffer.alloc(0);
}

/** Why a text is no seal key: not 32 bytes, or bytes that nobody would call random. */
export function sealKeyProblem(text: string): string | undefined {
  if (text === '') return '{value} is empty';
  const key = decodeSealKey(text);
  if (key.length === 0) return '{value} is not base64url';
  if (key.length !== KEY_BYTES) return `{value} has ${key.length} bytes`;
  const distinct = new Set(key).size;
  const isReadable = key.every((byte) => byte >= 0x20 && byte < 0x7f);
  const half = KEY_BYTES / 2;
  const repeats = key.subarray(0, half).equals(key.subarray(half));
  const steps = new Set(key.map((byte, index) => (byte - (key[index - 1] ?? byte)) & 0xff).subarray(1)).size;
  return distinct < DISTINCT_BYTES_MIN || isReadable || repeats || steps < 4 ? '{value} is not random' : undefined;
}
