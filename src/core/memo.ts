/**
 * Remember the results of a pure function of a text, for texts that come again and again: header and cookie names.
 * Strangers choose these texts, so only short ones are kept, and no more once there are `maxEntries`.
 */
export function createMemo<Value>(
  compute: (text: string) => Value,
  { maxEntries, maxChars }: { readonly maxEntries: number; readonly maxChars: number },
): (text: string) => Value {
  const known = new Map<string, Value>();
  return (text) => {
    const value = known.get(text);
    if (value !== undefined) return value;
    const computed = compute(text);
    // A copy: the text may be a slice of a whole header.
    if (known.size < maxEntries && text.length <= maxChars) known.set(Buffer.from(text).toString(), computed);
    return computed;
  };
}
