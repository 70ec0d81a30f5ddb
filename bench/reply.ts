import { HeaderList } from '../src/core/header-list.ts';
import { compileOriginRules } from '../src/core/origin.ts';
import { compileReplies } from '../src/core/problem.ts';
import { createHeaderCheck, writeAllow, writeReply } from '../src/core/reply.ts';
import { compileSites } from '../src/core/sites.ts';
import { contextOf, getSite, worldConfig } from '../test/core/world.ts';
import { type NativeHandler, startInProcess } from './lib/in-process.ts';
import type { MicroBench, MicroGroup } from './lib/micro.ts';
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

/** Writing verify's answers, times with client and parser included. */
export const replyBench: MicroBench = {
  name: 'reply',
  async createGroups() {
    const server = await startInProcess();
    const list = HEADERS.flat();
    const object = Object.fromEntries(HEADERS);
    const headers = new HeaderList(list);
    const short = HEADERS.slice(1).map(([name, value]) => `${name}: ${value}`);
    const withoutToken = ['no-store', ...short].join('\r\n');
    const [token] = HEADERS;
    const ask = (handler: NativeHandler) => (): Promise<unknown> => server.ask(handler, REQUEST, CALLS);
    return [
      {
        name: 'allow with seven headers, whole round',
        calls: CALLS,
        ways: {
          'all as one block (shipped)': ask((response) => writeAllow(response, headers, false)),
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
          'short ones as one block, the token alone': ask((response) => {
            response
              .writeHeader('cache-control', withoutToken)
              .writeHeader(...token)
              .end();
          }),
        },
        close: server.close,
      },
      await createRefusals(),
    ];
  },
};

/** A 401 for programs; without its body, since the client here reads heads alone. */
async function createRefusals(): Promise<MicroGroup> {
  const server = await startInProcess();
  const config = worldConfig();
  const replies = compileReplies(config, compileOriginRules(config));
  const check = createHeaderCheck();
  const context = contextOf({ requestId: 'kq3Z1v0m-7' });
  const site = getSite(compileSites(config), 'main');
  const problem = { code: 'authentication_required', loginUrl: site.loginUrl, navigation: false, site } as const;
  const ask = (handler: NativeHandler) => (): Promise<unknown> => server.ask(handler, REQUEST, CALLS);
  return {
    name: 'a refusal, whole round',
    calls: CALLS,
    ways: {
      'prepared around its request id (shipped)': ask((response) => {
        const reply = replies.problem(context, problem);
        check(reply);
        writeReply(response, reply, true, false);
      }),
      'as values, joined for each request': ask((response) => {
        const { status, headers, body } = replies.problem(context, problem);
        check({ status, headers, body });
        writeReply(response, { status, headers, body }, true, false);
      }),
      'prepared, each header by itself': ask((response) => {
        const { headers, body } = replies.problem(context, problem);
        response.writeStatus('401 Unauthorized');
        for (const [name, value] of headers) response.writeHeader(name, value);
        response.endWithoutBody(Buffer.byteLength(body), false);
      }),
    },
    close: server.close,
  };
}
