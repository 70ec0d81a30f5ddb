import type { Lab } from '../lib/lab.ts';
import type { OnceAnswer } from '../lib/once.ts';
import { realisticHeaders, requestText, smallestHeaders } from '../lib/requests.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { startSallyport } from '../lib/sallyport.ts';
import { signIn } from '../lib/sign-in.ts';
import { spreadOf } from '../lib/stats.ts';
import {
  checkAllowed,
  checkOk,
  checkRefused,
  measureInTurn,
  openServer,
  openVerify,
  SESSIONS,
} from '../lib/subjects.ts';
import type { Measure, Sample, Scenario, Subject } from '../lib/types.ts';

/** Verify's own address. */
export const VERIFY_PATH = '/auth/verify';
const COOKIE = 'bff_session';
/** Configuration of a server that keeps no sessions. */
export const L1_OFF = (lab: Lab): object => ({ kind: 'redis', redis: { url: lab.redis.url }, l1: { mode: 'none' } });
/** The decoder remembers 10,000 sessions: going round through half as many again, it has forgotten each one. */
const FIRST_SIGHT_SESSIONS = 15_000;

type Kind = 'realistic' | 'smallest';

/** File of requests with the cookies of the first sessions of the lab's store. */
export async function cookieRequests(lab: Lab, kind: Kind, count = SESSIONS, path = VERIFY_PATH): Promise<string> {
  const handles = await lab.handles(count);
  return lab.requests(
    `${kind}-${count}`,
    handles.map((handle) => withCookie(kind, handle, path)),
  );
}

function withCookie(kind: Kind, handle: string, path = VERIFY_PATH): string {
  const headers = kind === 'realistic' ? realisticHeaders : smallestHeaders;
  return requestText(path, headers({ cookie: `${COOKIE}=${handle}` }));
}

/** File of requests with the bearer tokens of as many users. */
export async function bearerRequests(lab: Lab): Promise<string> {
  const texts: string[] = [];
  for (let number = 0; number < Math.min(SESSIONS, lab.sessionsMax); number++) {
    texts.push(bearerRequest(await lab.provider.accessToken(`u${number}`)));
  }
  return lab.requests('bearer', texts);
}

/** The smallest request with a bearer token. */
export function bearerRequest(token: string): string {
  return requestText(VERIFY_PATH, smallestHeaders({ authorization: `Bearer ${token}` }));
}

/** The allow answer to the first user's bearer token. */
export function checkCaller({ status, headers }: OnceAnswer): void {
  if (status !== 200 || headers.get('x-user-id') !== 'u0') throw new Error(`answered ${status}`);
}

/** uWebSockets.js alone, with the same requests. */
export function hello(kind: Kind): Subject {
  return {
    name: `hello ${kind}`,
    title: `uWebSockets.js res.end('ok'), ${kind} request`,
    needs: [],
    open: async (lab) => openServer('hello-uws.ts', [], await cookieRequests(lab, kind)),
    check: checkOk,
  };
}

/** Verify with sessions kept in the process. */
export function l1(kind: Kind): Subject {
  return {
    name: `verify L1 ${kind}`,
    title: `verify, L1 hit, ${kind} request`,
    needs: [],
    open: async (lab) => openVerify(lab, await cookieRequests(lab, kind)),
    check: checkAllowed,
  };
}

/** Verify with one store read per request. */
export function l1Off(kind: Kind): Subject {
  return {
    name: `verify store ${kind}`,
    title: `verify, L1 off, ${kind} request`,
    needs: [],
    open: async (lab) => openVerify(lab, await cookieRequests(lab, kind), { settings: { store: L1_OFF(lab) } }),
    check: checkAllowed,
  };
}

const firstSight: Subject = {
  name: 'verify first sight',
  title: 'verify, L1 off, every session opened anew, smallest request',
  needs: [],
  open: async (lab) =>
    openVerify(lab, await cookieRequests(lab, 'smallest', FIRST_SIGHT_SESSIONS), { settings: { store: L1_OFF(lab) } }),
  check: checkAllowed,
};

const memory: Subject = {
  name: 'verify memory',
  title: 'verify, memory store with L1, smallest request',
  needs: [],
  async open(lab) {
    const server = await startSallyport(lab, { settings: { store: { kind: 'memory' } } });
    const handles: string[] = [];
    for (let number = 0; number < Math.min(SESSIONS, lab.sessionsMax); number++) {
      handles.push(await signIn(lab.provider, server.publicPort, `u${number}`));
    }
    const file = lab.requests(
      'memory',
      handles.map((handle) => withCookie('smallest', handle)),
    );
    return { port: server.verifyPort, pids: [server.pid], requestsFile: file, close: server.stop };
  },
  check: checkAllowed,
};

const bearer: Subject = {
  name: 'verify bearer',
  title: 'verify, cached bearer token, smallest request',
  needs: [],
  open: async (lab) => openVerify(lab, await bearerRequests(lab), { bearer: true }),
  check: checkCaller,
};

const anonymous: Subject = {
  name: 'verify anonymous',
  title: 'verify without credentials: 401, smallest request',
  needs: [],
  open: (lab) => openVerify(lab, lab.requests('anonymous', [requestText(VERIFY_PATH, smallestHeaders({}))])),
  check: checkRefused,
  refuses: true,
};

const malformed: Subject = {
  name: 'verify malformed cookie',
  title: 'verify with a malformed cookie: 401, smallest request',
  needs: [],
  open: (lab) => openVerify(lab, lab.requests('malformed', [withCookie('smallest', 'not!a!handle'.repeat(4))])),
  check: checkRefused,
  refuses: true,
};

const SUBJECTS: readonly Subject[] = [
  hello('smallest'),
  hello('realistic'),
  l1('smallest'),
  l1('realistic'),
  l1Off('smallest'),
  l1Off('realistic'),
  firstSight,
  memory,
  bearer,
  anonymous,
  malformed,
];

/** P1 to P4: verify against an empty answer to the same request. */
export const verifyScenario: Scenario = {
  name: 'verify',
  title: 'verify against an empty answer',
  subjects: SUBJECTS,
  async run(lab, options) {
    const { samples } = await measureInTurn(lab, SUBJECTS, options);
    return { samples, measures: measuresOf(samples), gaps: [] };
  },
};

function measuresOf(samples: readonly Sample[]): Measure[] {
  const cpu = (target: string, subject: string, kind: Kind, value?: number): Measure => ({
    target,
    what: `${subject} / hello ${kind}, CPU`,
    spread: spreadOf(ratiosOf(samples, subject, `hello ${kind}`, (sample) => sample.cpuUs)),
    unit: '×',
    limit: value === undefined ? undefined : { kind: 'at most', value },
  });
  const throughput = ratiosOf(samples, 'verify L1 smallest', 'hello smallest', (sample) => sample.perSecond);
  return [
    cpu('P1', 'verify L1 realistic', 'realistic', 1.6),
    cpu('P1b', 'verify L1 smallest', 'smallest', 1.25),
    {
      target: 'P1b',
      what: 'verify L1 smallest / hello smallest, throughput',
      spread: spreadOf(throughput),
      unit: '×',
      limit: { kind: 'at least', value: 0.85 },
    },
    cpu('P2', 'verify store smallest', 'smallest', 1.9),
    cpu('P2', 'verify store realistic', 'realistic'),
    cpu('P2b', 'verify first sight', 'smallest', 4),
    cpu('P3', 'verify bearer', 'smallest', 1.35),
    cpu('P4', 'verify anonymous', 'smallest', 1.25),
    cpu('P4', 'verify malformed cookie', 'smallest', 1.25),
    cpu('-', 'verify memory', 'smallest'),
  ];
}
