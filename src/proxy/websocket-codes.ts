/** The client's session ended; from the private range (RFC 6455 §7.4.2). */
export const SESSION_ENDED = 4401;
/** No code was given (RFC 6455 §7.1.5). */
const NO_CODE = 1005;
/** There was no closing handshake. */
const ABNORMAL = 1006;
/** The gateway got no proper end from behind it (IANA registry of close codes). */
const BAD_GATEWAY = 1014;

/** What the native parser says of frames that it refuses; a client cannot send 1006 with a text of its own. */
const PARSER_VERDICTS: ReadonlyMap<string, number> = new Map([
  ['Received invalid UTF-8', 1007],
  ['Received too big message', 1009],
  ['Received invalid WebSocket frame', 1002],
  // Codes that the native parser does not know count as invalid, 1012 to 3999 among them: nothing can be said of them.
  ['Received invalid close payload', 0],
]);

/**
 * The close code for a client whose service closed with `code`; 0 = a close frame without a code. A service that was
 * lost, or broke the protocol, is 1014.
 */
export function codeForClient(code: number): number {
  if (code === NO_CODE) return 0;
  return code === ABNORMAL ? BAD_GATEWAY : code;
}

/**
 * The close code for a service whose client closed with `code`; 0 = a close frame without a code; undefined = the
 * client was lost, and the connection is cut in turn.
 */
export function codeForService(code: number, reason: string): { code: number; reason: string } | undefined {
  if (code === NO_CODE) return { code: 0, reason: '' };
  if (code !== ABNORMAL) return isSendable(code) ? { code, reason } : { code: 0, reason: '' };
  const verdict = PARSER_VERDICTS.get(reason);
  return verdict === undefined ? undefined : { code: verdict, reason: '' };
}

/** RFC 6455 §7.4: what may stand in a close frame. */
function isSendable(code: number): boolean {
  if (code >= 3000 && code <= 4999) return true;
  return code >= 1000 && code <= 1014 && code !== 1004 && code !== NO_CODE && code !== ABNORMAL;
}
