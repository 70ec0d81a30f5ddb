// hot: bench/reply.ts

import type { Reply } from './answer.ts';
import { randomToken } from './crypto.ts';
import type { HeaderPairs } from './origin.ts';

const MARK_BYTES = 16;

/** Answers that differ in one text alone: what stands around it in their headers and body, ready to be written. */
export class ReplyTemplate {
  readonly status: number;
  /** The headers of an answer whose text is `mark`. */
  readonly headers: HeaderPairs;
  readonly #mark: string;
  readonly #lines: Cut;
  readonly #body: Cut;

  /** @param mark stands once in the headers and at most once in the body. @throws TypeError if it does not */
  constructor({ status, headers, body }: Reply, mark: string) {
    this.status = status;
    this.headers = headers;
    this.#mark = mark;
    this.#lines = cutAt(joinLines(headers), mark);
    this.#body = cutAt(body, mark);
    if (!this.#lines.isCut) throw new TypeError('an answer of a template does not show its text');
  }

  /** @param text as it stands in a header and, unescaped, in the body. */
  fill(text: string): FilledReply {
    const { before, after, isCut } = this.#body;
    return new FilledReply(this, text, isCut ? before + text + after : before);
  }

  /** The header lines of an answer. */
  lines(text: string): string {
    return this.#lines.before + text + this.#lines.after;
  }

  /** The same, as names and values. */
  headersWith(text: string): HeaderPairs {
    return this.headers.map(([name, value]) => [name, value.replace(this.#mark, () => text)]);
  }
}

/** An answer out of a template. */
export class FilledReply implements Reply {
  readonly status: number;
  readonly body: string;
  readonly template: ReplyTemplate;
  readonly text: string;

  /** Use ReplyTemplate.fill. */
  constructor(template: ReplyTemplate, text: string, body: string) {
    this.status = template.status;
    this.body = body;
    this.template = template;
    this.text = text;
  }

  /** Made at need: HTTP/1.1 writes lines. */
  get headers(): HeaderPairs {
    return this.template.headersWith(this.text);
  }
}

/**
 * Compile a template out of the very function that composes single answers, so that both say the same.
 * @param compose its text becomes a header's value, or a part of one, and at most once a part of the body.
 */
export function compileTemplate(compose: (text: string) => Reply): ReplyTemplate {
  // Nobody can guess it, so nothing else in an answer can be taken for it.
  const mark = randomToken(MARK_BYTES);
  return new ReplyTemplate(compose(mark), mark);
}

/** Header lines, each with its line end in front. */
export function joinLines(headers: HeaderPairs): string {
  let lines = '';
  for (let i = 0; i < headers.length; i++) lines += `\r\n${headers[i]?.[0]}: ${headers[i]?.[1]}`;
  return lines;
}

type Cut = { readonly before: string; readonly after: string; readonly isCut: boolean };

function cutAt(text: string, mark: string): Cut {
  const at = text.indexOf(mark);
  if (at === -1) return { before: flat(text), after: '', isCut: false };
  const rest = text.slice(at + mark.length);
  if (rest.includes(mark)) throw new TypeError('an answer of a template shows its text twice');
  return { before: flat(text.slice(0, at)), after: flat(rest), isCut: true };
}

/** A copy in one piece: what is joined or sliced would be put together again for each answer. */
function flat(text: string): string {
  return Buffer.from(text).toString();
}
