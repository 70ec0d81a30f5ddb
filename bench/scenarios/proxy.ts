import assert from 'node:assert/strict';
import type { Lab } from '../lib/lab.ts';
import { openNginx, proxyTo } from '../lib/nginx.ts';
import type { OnceAnswer } from '../lib/once.ts';
import { browserHeaders, requestText, SITE_HOST } from '../lib/requests.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { startSallyport } from '../lib/sallyport.ts';
import { spreadOf } from '../lib/stats.ts';
import { measureInTurn, openBefore, openServer, SESSIONS } from '../lib/subjects.ts';
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
  open: (lab) => withService(lab, (service, requestsFile) => openNginx(lab, { requestsFile, ...proxyTo(service) })),
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
    const { samples, missing } = await measureInTurn(lab, SUBJECTS, options);
    return { samples, measures: measuresOf(samples), gaps: missing.map((reason) => ({ target: 'P7', reason })) };
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

async function withService(
  lab: Lab,
  open: (service: number, requestsFile: string) => Promise<OpenSubject>,
): Promise<OpenSubject> {
  const handles = await lab.handles(SESSIONS);
  const texts = handles.map((handle) => requestText(PATH, browserHeaders(`bff_session=${handle}`), SITE_HOST));
  return openBefore('json-service.ts', (service) => open(service, lab.requests('proxy', texts)));
}

function check({ status, body }: OnceAnswer): void {
  assert.equal(status, 200);
  assert.equal((JSON.parse(body) as { items: unknown[] }).items.length, 4);
}
