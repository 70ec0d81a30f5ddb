import { writeAllow } from '../src/core/reply.ts';
import { type NativeHandler, startInProcess } from './lib/in-process.ts';
import type { MicroBench } from './lib/micro.ts';
import { accessTokenText } from './lib/provider.ts';
import { requestText } from './lib/requests.ts';

const CALLS = 64;
const REQUEST = requestText('/auth/verify', []);
const HEADERS = [
  ['Authorization', `Bearer ${accessTokenText('u1')}`],
  ['X-User-Id', 'u1'],
  ['X-User-Username', 'user.u1'],
  ['X-User-Email', 'u1@example.com'],
  ['X-User-Role', 'user'],
  ['X-User-Roles', 'user,editor,reports'],
  ['X-Auth-Session', 'gNi-wHTvN7TGst4QYSE6wi'],
] as const;

/** Writing verify's allow answer, times with client and parser included. */
export const replyBench: MicroBench = {
  name: 'reply',
  async createGroups() {
    const server = await startInProcess();
    const list = HEADERS.flat();
    const object = Object.fromEntries(HEADERS);
    // One native call for all of them: relies on values being written as they are, which a later release may refuse.
    const block = ['no-store', ...HEADERS.map(([name, value]) => `${name}: ${value}`)].join('\r\n');
    const ask = (handler: NativeHandler) => (): Promise<unknown> => server.ask(handler, REQUEST, CALLS);
    return [
      {
        name: 'allow with seven headers, whole round',
        calls: CALLS,
        ways: {
          'flat list in one cork (shipped)': ask((response) => writeAllow(response, list, false)),
          'an object, without cork': ask((response) => {
            response.writeHeader('cache-control', 'no-store');
            for (const [name, value] of Object.entries(object)) response.writeHeader(name, value);
            response.end('', false);
          }),
          'one block as one value': ask((response) => {
            response.cork(() => response.writeHeader('cache-control', block).end('', false));
          }),
        },
        close: server.close,
      },
    ];
  },
};
