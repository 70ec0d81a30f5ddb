import assert from 'node:assert/strict';
import { join } from 'node:path';
import { openApache } from '../lib/apache.ts';
import type { Lab } from '../lib/lab.ts';
import { openNginx } from '../lib/nginx.ts';
import { accessTokenText } from '../lib/provider.ts';
import { realisticHeaders, requestText } from '../lib/requests.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { spreadOf } from '../lib/stats.ts';
import { checkAllowed, checkOk, measureInTurn, openServer, SESSIONS } from '../lib/subjects.ts';
import type { Measure, Outcome, Sample, Scenario, Subject } from '../lib/types.ts';
import { cookieRequests, hello, l1, l1Off, VERIFY_PATH } from './verify.ts';

const LUA_FILE = join(import.meta.dirname, '../lib/nginx-session.lua');

const nginxHello: Subject = {
  name: 'nginx return 200',
  title: 'nginx, return 200',
  needs: ['nginx'],
  open: async (lab) =>
    openNginx(lab, {
      requestsFile: await cookieRequests(lab, 'realistic'),
      server: 'location / { default_type text/plain; return 200 ok; }',
    }),
  check: checkOk,
};

const nodeHello: Subject = {
  name: 'node:http hello',
  title: 'node:http, hello',
  needs: [],
  open: async (lab) => openServer('hello-node.ts', [], await cookieRequests(lab, 'realistic')),
  check: checkOk,
};

const fastifyHello: Subject = {
  name: 'fastify hello',
  title: 'fastify, hello',
  needs: [],
  open: async (lab) => openServer('hello-fastify.ts', [], await cookieRequests(lab, 'realistic')),
  check: checkOk,
};

const luaDictionary: Subject = {
  name: 'nginx Lua dictionary',
  title: 'nginx + LuaJIT, session in its shared dictionary',
  needs: ['nginx', 'nginx-lua'],
  open: (lab) => openLua(lab, true),
  check: checkAllowed,
};

const luaRedis: Subject = {
  name: 'nginx Lua Redis',
  title: 'nginx + LuaJIT, session from Redis for each request',
  needs: ['nginx', 'nginx-lua'],
  open: (lab) => openLua(lab, false),
  check: checkAllowed,
};

const apacheOpenid: Subject = {
  name: 'mod_auth_openidc',
  title: 'Apache mod_auth_openidc, session in Redis, in process',
  needs: ['apache2', 'mod_auth_openidc'],
  open: (lab) => openApache(lab, (cookie) => [requestText('/verify', realisticHeaders({ cookie }), '127.0.0.1')]),
  check({ status }) {
    assert.equal(status, 200);
  },
};

const SUBJECTS: readonly Subject[] = [
  hello('realistic'),
  l1('realistic'),
  l1Off('realistic'),
  nginxHello,
  nodeHello,
  fastifyHello,
  luaDictionary,
  luaRedis,
  apacheOpenid,
];

/** P5 and P6: verify against what others do for the same request. */
export const peersScenario: Scenario = {
  name: 'peers',
  title: 'verify beside other servers, realistic request',
  subjects: SUBJECTS,
  async run(lab, options) {
    const { samples, missing } = await measureInTurn(lab, SUBJECTS, options);
    return { samples, measures: measuresOf(samples), gaps: gapsOf(missing) };
  },
};

function measuresOf(samples: readonly Sample[]): Measure[] {
  const times = (target: string, ours: string, theirs: string, value: number): Measure[] => {
    const ratios = ratiosOf(samples, theirs, ours, ({ cpuUs }) => cpuUs);
    if (ratios.length === 0) return [];
    const what = `${theirs} / ${ours}, CPU`;
    return [{ target, what, spread: spreadOf(ratios), unit: '×', limit: { kind: 'at least', value } }];
  };
  return [
    ...times('P5', 'verify L1 realistic', 'nginx Lua dictionary', 1.4),
    ...times('P5', 'verify store realistic', 'nginx Lua Redis', 2),
    ...times('P6', 'verify store realistic', 'mod_auth_openidc', 10),
  ];
}

function gapsOf(missing: readonly string[]): Outcome['gaps'] {
  return [
    ...missing.filter((line) => line.startsWith('nginx Lua')).map((reason) => ({ target: 'P5', reason })),
    ...missing.filter((line) => line.startsWith('mod_auth')).map((reason) => ({ target: 'P6', reason })),
    { target: 'P6', reason: 'oauth2-proxy comes in no package that this bench can install' },
  ];
}

async function openLua(lab: Lab, keeps: boolean) {
  const handles = await lab.handles(SESSIONS);
  const redis = lab.redis.connect();
  const values = handles.flatMap((handle, at) => [`lua:${handle}`, headerValues(`u${at}`)]);
  await redis.mset(...values);
  redis.disconnect();
  return openNginx(lab, {
    lua: true,
    requestsFile: await cookieRequests(lab, 'realistic'),
    http: keeps ? 'lua_shared_dict sessions 64m;' : '',
    server: `
      location ${VERIFY_PATH} {
        content_by_lua_block {
          package.loaded.check = package.loaded.check or assert(loadfile("${LUA_FILE}"))
          package.loaded.check(${lab.redis.port}, ${keeps ? 'ngx.shared.sessions' : 'nil'})
        }
      }`,
  });
}

function headerValues(subject: string): string {
  const email = `${subject}@example.com`;
  const roles = ['user', 'user,editor,reports'];
  return [`Bearer ${accessTokenText(subject)}`, subject, `user.${subject}`, email, ...roles, 'p'.repeat(22)].join('\n');
}
