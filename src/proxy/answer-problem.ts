/** Why a connection to a service, or an answer on it, came to nothing. The text never reaches a client. */
export type AnswerFault =
  | 'connect_timeout'
  | 'headers_timeout'
  | 'body_timeout'
  /** Not HTTP/1.1, or framed so that two readers could differ (RFC 9112 §11). */
  | 'malformed'
  /** The connection ended before the answer did. */
  | 'cut'
  /** We end every connection. */
  | 'closing';

/** A failed connection or answer, as far as it is not an error of the operating system or of TLS. */
export class AnswerError extends Error {
  readonly code: AnswerFault;

  constructor(code: AnswerFault, message: string = code) {
    super(message);
    this.name = 'AnswerError';
    this.code = code;
  }
}
