import { compileAddressMatcher } from '../src/core/address.ts';
import { systemClock } from '../src/core/clock.ts';
import { createContextReader, RequestContext } from '../src/core/context.ts';
import { type NativeHandler, startInProcess } from './lib/in-process.ts';
import type { MicroBench } from './lib/micro.ts';
import { realisticHeaders, requestText } from './lib/requests.ts';

const CALLS = 64;
const REQUEST = requestText('/auth/verify', realisticHeaders({ cookie: 'bff_session=x' }));

/** Member of the context by header, for those whose value is taken as it is. */
const NAMED = new Map<string, keyof RequestContext>([
  ['host', 'host'],
  ['cookie', 'cookie'],
  ['origin', 'origin'],
  ['referer', 'referer'],
  ['accept', 'accept'],
  ['authorization', 'authorization'],
  ['content-type', 'contentType'],
  ['user-agent', 'userAgent'],
  ['upgrade', 'upgrade'],
  ['sec-purpose', 'secPurpose'],
  ['sec-fetch-site', 'secFetchSite'],
  ['sec-fetch-mode', 'secFetchMode'],
  ['sec-fetch-dest', 'secFetchDest'],
  ['sec-websocket-key', 'webSocketKey'],
  ['x-forwarded-for', 'forwardedFor'],
  ['x-forwarded-host', 'forwardedHost'],
  ['x-forwarded-method', 'forwardedMethod'],
  ['x-forwarded-proto', 'forwardedProto'],
  ['x-forwarded-uri', 'forwardedUri'],
  ['x-sallyport-secret', 'gatewaySecret'],
  ['x-csrf', 'csrfProof'],
  ['access-control-request-method', 'corsMethod'],
  ['access-control-request-headers', 'corsHeaders'],
]);

/** Copying what the program reads out of a native request with 25 headers, times with client and answer included. */
export const contextBench: MicroBench = {
  name: 'context',
  async createGroups() {
    const server = await startInProcess();
    const trusted = compileAddressMatcher([]);
    const reader = createContextReader({ trusted, clock: systemClock, csrfHeader: 'x-csrf', targetMaxBytes: 8_192 });
    const reused = new RequestContext();
    let seen = '';
    const note = (context: RequestContext): void => {
      seen = `${context.host} ${context.forwardedUri} ${context.secFetchMode} ${context.cookie.length}`;
    };
    const ask = (handler: NativeHandler) => async (): Promise<unknown> => {
      await server.ask(handler, REQUEST, CALLS);
      return seen;
    };
    return [
      {
        name: 'a request with 25 headers, whole round',
        calls: CALLS,
        ways: {
          'forEach, switch on the length (shipped)': ask((response, request) => {
            note(reader.read(response, request));
            response.end();
          }),
          'getHeader for each name': ask((response, request) => {
            // Cannot see repeated headers, so it cannot take the place of the shipped one; kept for its price.
            for (const [name, member] of NAMED) Object.assign(reused, { [member]: request.getHeader(name) });
            note(reused);
            response.end();
          }),
          'forEach into a map': ask((response, request) => {
            const headers = new Map<string, string>();
            request.forEach((name, value) => void headers.set(name, value));
            for (const [name, member] of NAMED) Object.assign(reused, { [member]: headers.get(name) ?? '' });
            note(reused);
            response.end();
          }),
        },
        close: server.close,
      },
    ];
  },
};
