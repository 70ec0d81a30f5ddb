import assert from 'node:assert/strict';
import type { Lab } from '../lib/lab.ts';
import { openNginx } from '../lib/nginx.ts';
import type { OnceAnswer } from '../lib/once.ts';
import { LOAD_CORE } from '../lib/process.ts';
import { realisticHeaders, requestText, SITE_HOST } from '../lib/requests.ts';
import { ratiosOf, runRounds } from '../lib/rounds.ts';
import { startSallyport } from '../lib/sallyport.ts';
import { spreadOf } from '../lib/stats.ts';
import { openAll, openServer, SESSIONS } from '../lib/subjects.ts';
import type { Measure, OpenSubject, Sample, Scenario, Subject } from '../lib/types.ts';

const PATH = '/api/items';

const sallyport: Subject = {
  name: 'proxy Sallyport',
  title: 'authenticated proxy: session from L1, headers rewritten, the session’s token sent on',
  needs: [],
  open: (lab) =>
    withService(lab, async (service, requestsFile) => {
      const { publicPort, pid, stop } = await startSallyport(lab, {
        routes: {
          services: { items: { urls: [`http://127.0.0.1:${service}`], token: { source: 'session' } } },
          routes: [{ id: 'items', paths: ['/api/*'], target_service: 'items' }],
        },
      });
      return { port: publicPort, pids: [pid], requestsFile, close: stop };
    }),
  check,
};

const nginx: Subject = {
  name: 'proxy nginx',
  title: 'nginx as a plain proxy, no authentication',
  needs: ['nginx'],
  open: (lab) =>
    withService(lab, (service, requestsFile) =>
      openNginx(lab, {
        requestsFile,
        http: `upstream items { server 127.0.0.1:${service}; keepalive 64; keepalive_requests 100000000; }`,
        server: 'location / { proxy_pass http://items; proxy_http_version 1.1; proxy_set_header Connection ""; }',
      }),
    ),
  check,
};

const fastify: Subject = {
  name: 'proxy fastify',
  title: '@fastify/http-proxy, no authentication',
  needs: [],
  open: (lab) =>
    withService(lab, (service, requestsFile) => openServer('proxy-fastify.ts', [String(service)], requestsFile)),
  check,
};

const express: Subject = {
  name: 'proxy express',
  title: 'http-proxy-middleware on Express, no authentication',
  needs: [],
  open: (lab) =>
    withService(lab, (service, requestsFile) => openServer('proxy-express.ts', [String(service)], requestsFile)),
  check,
};

const SUBJECTS: readonly Subject[] = [sallyport, nginx, fastify, express];

/** P7: a small JSON answer through us and through others. */
export const proxyScenario: Scenario = {
  name: 'proxy',
  title: 'proxy of a small JSON answer',
  subjects: SUBJECTS,
  async run(lab, options) {
    const { contenders, missing, close } = await openAll(lab, SUBJECTS);
    try {
      const samples = await runRounds(contenders, options);
      return { samples, measures: measuresOf(samples), gaps: missing.map((reason) => ({ target: 'P7', reason })) };
    } finally {
      await close();
    }
  },
};

function measuresOf(samples: readonly Sample[]): Measure[] {
  const ratio = (above: string, below: string, limit: Measure['limit']): Measure[] => {
    const ratios = ratiosOf(samples, above, below, ({ cpuUs }) => cpuUs).filter((value) => !Number.isNaN(value));
    if (ratios.length === 0) return [];
    return [{ target: 'P7', what: `${above} / ${below}, CPU`, spread: spreadOf(ratios), unit: '×', limit }];
  };
  return [
    ...ratio('proxy Sallyport', 'proxy nginx', { kind: 'at most', value: 2 }),
    ...ratio('proxy fastify', 'proxy Sallyport', { kind: 'at least', value: 2.5 }),
    ...ratio('proxy express', 'proxy Sallyport', undefined),
  ];
}

/** The service behind runs beside the generator: its time is nobody's. */
async function withService(
  lab: Lab,
  open: (port: number, requestsFile: string) => Promise<OpenSubject>,
): Promise<OpenSubject> {
  const handles = await lab.handles(SESSIONS);
  const texts = handles.map((handle) => {
    const headers = realisticHeaders({ cookie: `bff_session=${handle}` });
    return requestText(
      PATH,
      headers.filter(([name]) => !name.startsWith('X-Forwarded')),
      SITE_HOST,
    );
  });
  const service = await openServer('json-service.ts', [], '', LOAD_CORE);
  try {
    const subject = await open(service.port, lab.requests('proxy', texts));
    const close = async (): Promise<void> => {
      await subject.close();
      await service.close();
    };
    return { ...subject, close };
  } catch (error) {
    await service.close();
    throw error;
  }
}

function check({ status, body }: OnceAnswer): void {
  assert.equal(status, 200);
  assert.equal((JSON.parse(body) as { items: unknown[] }).items.length, 4);
}
