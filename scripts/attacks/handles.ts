/** The session handle that the attack files write for a live session. */
export const FIRST_LITERAL = 'kq3Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiVtXM';
/** The handle they write for a second live session. */
export const SECOND_LITERAL = 'Zz9Z1v0mQf7yYb2cT9xL4nRwE8sHdJ6uA5gPoKiVtXM';

/** Pieces of a literal shorter than this are left alone: they are other text that happens to look alike. */
const FRAGMENT_MIN_CHARS = 8;

/** A literal of the files and the live handle that stands for it. */
export type Substitution = { readonly literal: string; readonly handle: string };

/**
 * Put live handles in the place of the literals, also of their fragments at the same position, so that a cut, padded
 * or damaged literal becomes a cut, padded or damaged live handle. Everything else (`AAAA…`) stays as it is.
 */
export function substituteHandles(text: string, substitutions: readonly Substitution[]): string {
  let result = '';
  let at = 0;
  while (at < text.length) {
    const found = longestMatch(text, at, substitutions);
    result += found?.replacement ?? text[at];
    at += found?.length ?? 1;
  }
  return result;
}

function longestMatch(
  text: string,
  at: number,
  substitutions: readonly Substitution[],
): { readonly length: number; readonly replacement: string } | undefined {
  let best: { readonly length: number; readonly replacement: string } | undefined;
  for (const { literal, handle } of substitutions) {
    for (let start = 0; start <= literal.length - FRAGMENT_MIN_CHARS; start += 1) {
      const length = commonLength(text, at, literal, start);
      if (length < FRAGMENT_MIN_CHARS || length <= (best?.length ?? 0)) continue;
      best = { length, replacement: handle.slice(start, start + length) };
    }
  }
  return best;
}

function commonLength(text: string, at: number, literal: string, start: number): number {
  let length = 0;
  while (start + length < literal.length && text[at + length] === literal[start + length]) length += 1;
  return length;
}
