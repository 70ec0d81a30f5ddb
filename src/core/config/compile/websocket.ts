import { durationMs, sizeBytes } from '../schema/units.ts';
import type { WebSocketSettings } from '../types-websocket.ts';
import { checkSocketToken } from './bound-tokens.ts';
import type { CompileContext } from './context.ts';

type RouteInput = NonNullable<NonNullable<CompileContext['routes']['sections']['routes']>[number]>;

/** Compile `websocket` of a route; undefined for a route of plain HTTP. */
export function compileWebSocket(
  context: CompileContext,
  input: RouteInput,
  index: number,
): WebSocketSettings | undefined {
  const { websocket } = input;
  if (websocket === undefined) return undefined;
  checkWebSocket(context, input, index);
  const [, cookie] = /^cookie:(.+)$/.exec(websocket.token_in) ?? [];
  return {
    subprotocols: websocket.subprotocols,
    messageMaxBytes: sizeBytes(websocket.max_message),
    idleMs: durationMs(websocket.idle),
    tokenIn: cookie === undefined ? { kind: 'authorization' } : { kind: 'cookie', name: cookie },
    countsAsActivity: websocket.counts_as_activity,
  };
}

function checkWebSocket(context: CompileContext, input: RouteInput, index: number): void {
  const { routes } = context;
  const path = ['routes', index];
  checkSocketToken(context, input, index);
  if (input.target_service === undefined) {
    const problem = 'a WebSocket route without target_service';
    routes.fail([...path, 'websocket'], problem, 'a service', 'add target_service or remove websocket');
  }
  // No browser can add a header to a handshake: the proof could never be given. Its Origin is always checked.
  if ((input.csrf ?? routes.sections.defaults?.csrf) === 'all') {
    const fix = 'set csrf: unsafe on this route';
    routes.fail(
      [...path, 'websocket'],
      'a handshake cannot carry the proof that csrf: all asks for',
      'csrf: unsafe',
      fix,
    );
  }
}
