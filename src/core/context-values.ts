// hot: bench/context.ts

/** A length, RFC 9110 §8.6 `1*DIGIT`, at most 15 of them; -1 for anything else. */
export function decimal(text: string): number {
  if (text.length === 0 || text.length > 15) return -1;
  let number = 0;
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number;
}

/** Lines of one list (RFC 9110 §5.3). */
export function list(present: string, value: string): string {
  return present === '' ? value : `${present},${value}`;
}

/** The path of a request target. */
export function pathOf(target: string): string {
  const question = target.indexOf('?');
  return question === -1 ? target : target.slice(0, question);
}

/** The query of a request target, without `?`. */
export function queryOf(target: string): string {
  const question = target.indexOf('?');
  return question === -1 ? '' : target.slice(question + 1);
}
