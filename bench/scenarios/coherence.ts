import { setTimeout as sleep } from 'node:timers/promises';
import { locatorOf } from '../../src/core/session.ts';
import type { Lab } from '../lib/lab.ts';
import { saturate } from '../lib/load.ts';
import { askOnce } from '../lib/once.ts';
import { requestText, smallestHeaders } from '../lib/requests.ts';
import { type Sallyport, startSallyport } from '../lib/sallyport.ts';
import { exactly, percentile } from '../lib/stats.ts';
import type { Scenario } from '../lib/types.ts';
import { VERIFY_PATH } from './verify.ts';

const PROCESSES = 2;
const SESSIONS = 1_000;
const LOOK_MS = 1;
const WAIT_MS = 5_000;

/** P16: from the `DEL` of a session's record until the last process refuses its cookie. */
export const coherenceScenario: Scenario = {
  name: 'coherence',
  title: 'a deleted record seen by every process',
  subjects: [],
  async run(lab, options) {
    const count = options.quick ? 50 : SESSIONS;
    const servers: Sallyport[] = [];
    try {
      while (servers.length < PROCESSES) servers.push(await startSallyport(lab));
      const calm = await measure(lab, servers, await lab.handles(count));
      const times = percentile(calm, 0.99);
      const what = `DEL of a record until the last of ${PROCESSES} processes answers 401, p99 of ${count}`;
      const note = `median ${percentile(calm, 0.5).toFixed(1)} ms; verify under load in all of them`;
      options.say(`  p99 ${times.toFixed(1)} ms, ${note}`);
      return {
        samples: [],
        measures: [
          { target: 'P16', what, spread: exactly(times), unit: 'ms', limit: { kind: 'at most', value: 50 }, note },
        ],
        gaps: [],
      };
    } finally {
      await Promise.all(servers.map((server) => server.stop()));
    }
  },
};

/** Times in ms, one for each session; other sessions are asked for all the while. */
async function measure(lab: Lab, servers: readonly Sallyport[], handles: readonly string[]): Promise<number[]> {
  const all = await lab.handles(handles.length + SESSIONS);
  const others = lab.requests('others', all.slice(handles.length).map(requestOf));
  const redis = lab.redis.connect();
  const times: number[] = [];
  let isOver = false;
  const load = Promise.all(
    servers.map(async ({ verifyPort }) => {
      while (!isOver) await saturate({ port: verifyPort, requestsFile: others, connections: 4, seconds: 1 });
    }),
  );
  try {
    for (const handle of handles) {
      await Promise.all(servers.map((server) => expectAllowed(server, handle)));
      const deletedAt = performance.now();
      await redis.del(`sp:s:{${locatorOf(handle)}}`);
      await Promise.all(servers.map((server) => whenRefused(server, handle)));
      times.push(performance.now() - deletedAt);
    }
  } finally {
    isOver = true;
    redis.disconnect();
    await load;
  }
  return times;
}

function requestOf(handle: string): string {
  return requestText(VERIFY_PATH, smallestHeaders({ cookie: `bff_session=${handle}` }));
}

/** Twice: the second answer is one that was kept. */
async function expectAllowed({ verifyPort }: Sallyport, handle: string): Promise<void> {
  for (let time = 0; time < 2; time++) {
    const { status } = await askOnce(verifyPort, requestOf(handle));
    if (status !== 200) throw new Error(`a session of the lab was answered ${status}`);
  }
}

async function whenRefused({ verifyPort }: Sallyport, handle: string): Promise<void> {
  for (const end = performance.now() + WAIT_MS; performance.now() < end; await sleep(LOOK_MS)) {
    if ((await askOnce(verifyPort, requestOf(handle))).status === 401) return;
  }
  throw new Error('an ended session was served for 5 s');
}
