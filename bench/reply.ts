import { createAllowPreparer, writeAllow } from '../src/core/reply.ts';
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
    const prepare = createAllowPreparer();
    // Holds the token twice for as long as the session is kept.
    const block = ['no-store', ...HEADERS.map(([name, value]) => `${name}: ${value}`)].join('\r\n');
    const ask = (handler: NativeHandler) => (): Promise<unknown> => server.ask(handler, REQUEST, CALLS);
    return [
      {
        name: 'allow with seven headers, whole round',
        calls: CALLS,
        ways: {
          'short ones as one block, the token alone (shipped)': ask((response) =>
            writeAllow(response, prepare(list), false),
          ),
          'each by itself, in one cork': ask((response) => {
            response.cork(() => {
              response.writeHeader('cache-control', 'no-store');
              for (let i = 0; i < list.length; i += 2) response.writeHeader(list[i] as string, list[i + 1] as string);
              response.end('', false);
            });
          }),
          'an object, without cork': ask((response) => {
            response.writeHeader('cache-control', 'no-store');
            for (const [name, value] of Object.entries(object)) response.writeHeader(name, value);
            response.end('', false);
          }),
          'all as one block': ask((response) => {
            response.cork(() => response.writeHeader('cache-control', block).end('', false));
          }),
        },
        close: server.close,
      },
    ];
  },
};
