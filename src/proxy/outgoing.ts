import type { AnswerHead } from './answer-head.ts';
import type { Upload } from './upload.ts';

/** The connection that a request was given to. */
export type Wire = {
  /** The request is not wanted any more: its connection ends, and nothing more is heard of it. */
  abandon(): void;
  /** Read on, after `onData` said stop. */
  resume(): void;
};

/** A request for a service, and who hears of its answer. After `onEnd` or `onFail` nothing more is heard. */
export type Outgoing = {
  readonly method: string;
  /** Path and query, sent as they are. */
  readonly target: string;
  /** Header lines, each with its CRLF; without Host, Connection and what frames the body. */
  readonly lines: string;
  readonly upload: Upload | undefined;
  /** Declared length of the body; -1 = none declared: it is sent in chunks. */
  readonly contentLength: number;
  /** From the end of the request to the head of the answer, or while the service takes nothing of the request. */
  readonly headersMs: number;
  /** Between two parts of the answer's body. */
  readonly bodyIdleMs: number;
  /** Set while a connection has it. */
  wire: Wire | undefined;
  /** It is written now: from here on the service may have got it. */
  onStart(): void;
  /** Informational heads, and the final one. What is thrown ends the connection and comes back to `onFail`. */
  onHead(head: AnswerHead): void;
  /** Bytes of the body, valid during the call. @returns false = no more until `resume`. */
  onData(part: Buffer): boolean;
  onEnd(): void;
  onFail(error: Error): void;
};

const NO_TARGET = /[^\x21-\x7e\x80-\xff]/;

/**
 * The head of a request, without what frames its body and without the empty line.
 * @param host value of Host.
 * @throws TypeError for a target that cannot be written: a defect of ours, because it was checked where it came in.
 */
export function requestHead({ method, target, lines }: Outgoing, host: string, keepsAlive: boolean): string {
  if (target[0] !== '/' || NO_TARGET.test(target)) throw new TypeError('a request target cannot be written');
  const connection = keepsAlive ? 'keep-alive' : 'close';
  return `${method} ${target} HTTP/1.1\r\nhost: ${host}\r\nconnection: ${connection}\r\n${lines}`;
}
