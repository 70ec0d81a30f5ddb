import { createCertificates } from '../../test/support/redis-tls.ts';
import type { Lab } from '../lib/lab.ts';
import { LOAD_CORE, pickPorts } from '../lib/process.ts';
import { browserHeaders, requestText } from '../lib/requests.ts';
import { ratiosOf } from '../lib/rounds.ts';
import { startSallyport } from '../lib/sallyport.ts';
import { spreadOf } from '../lib/stats.ts';
import { checkOk, measureInTurn, openServer, SESSIONS } from '../lib/subjects.ts';
import { startTraefik } from '../lib/traefik.ts';
import type { Measure, OpenSubject, Sample, Scenario, Subject } from '../lib/types.ts';

type Transport = 'none' | 'HTTP/1.1' | 'HTTP/2';
type Edge = { readonly transport: Transport; readonly batch: boolean; readonly connections: number };

const EDGES: readonly Edge[] = [
  { transport: 'none', batch: false, connections: 64 },
  { transport: 'HTTP/1.1', batch: false, connections: 64 },
  { transport: 'HTTP/2', batch: false, connections: 64 },
  { transport: 'HTTP/2', batch: true, connections: 64 },
  { transport: 'HTTP/1.1', batch: false, connections: 256 },
  { transport: 'HTTP/2', batch: false, connections: 256 },
  { transport: 'HTTP/2', batch: true, connections: 256 },
];

function nameOf({ transport, batch, connections }: Edge): string {
  return `edge ${transport}${batch ? ' batch' : ''} ${connections}`;
}

const SUBJECTS: readonly Subject[] = EDGES.map((edge) => ({
  name: nameOf(edge),
  title: `Traefik and verify over ${edge.transport}${edge.batch ? ', scheduling: batch' : ''} on one core, ${edge.connections} connections`,
  needs: ['traefik', 'openssl'],
  open: (lab) => openEdge(lab, edge),
  check: checkOk,
}));

/** P17: the whole edge, Traefik and verify on one core. */
export const traefikScenario: Scenario = {
  name: 'traefik',
  title: 'behind Traefik',
  // With more connections they are the same programs.
  subjects: SUBJECTS.slice(0, 4),
  async run(lab, options) {
    const { samples, missing } = await measureInTurn(lab, SUBJECTS, options);
    const gaps = [
      ...missing.map((reason) => ({ target: 'P17', reason })),
      { target: 'P17b', reason: 'oauth2-proxy comes in no package that this bench can install' },
    ];
    return { samples, measures: missing.length > 0 ? [] : measuresOf(samples), gaps };
  },
};

function measuresOf(samples: readonly Sample[]): Measure[] {
  return [64, 256].flatMap((connections) =>
    [false, true].map((batch): Measure => {
      const above = nameOf({ transport: 'HTTP/2', batch, connections });
      const below = nameOf({ transport: 'HTTP/1.1', batch: false, connections });
      const ratios = ratiosOf(samples, above, below, ({ perSecond }) => perSecond);
      const limit = { kind: 'at least', value: batch ? 1.5 : 1.25 } as const;
      return { target: 'P17', what: `${above} / ${below}, throughput`, spread: spreadOf(ratios), unit: '×', limit };
    }),
  );
}

async function openEdge(lab: Lab, { transport, batch, connections }: Edge): Promise<OpenSubject> {
  const certificates = await createCertificates();
  const entry = pickPorts(2);
  const service = await openServer('hello-uws.ts', [], '', LOAD_CORE);
  const stops: (() => Promise<void>)[] = [service.close, () => certificates.remove()];
  const close = async (): Promise<void> => {
    for (const stop of stops) await stop();
  };
  try {
    const verify = { address: '127.0.0.1', port: entry + 1, tls: tlsOf(certificates.files) };
    const server = await startSallyport(lab, {
      settings: {
        sites: { main: { public_url: `http://localhost:${entry}` } },
        insecure_http: true,
        ...(batch ? { scheduling: 'batch' } : {}),
      },
      ...(transport === 'HTTP/2' ? { listen: { verify_h2: verify } } : {}),
    });
    stops.unshift(server.stop);
    const target = targetOf(transport, server.verifyPort, entry + 1, certificates.files.ca);
    const traefik = await startTraefik(lab, { entry, service: service.port, verify: target });
    stops.unshift(traefik.stop);
    return {
      port: entry,
      pids: [traefik.pid, server.pid],
      requestsFile: await edgeRequests(lab, entry),
      connections,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

function tlsOf({ serverCert, serverKey }: { readonly serverCert: string; readonly serverKey: string }): object {
  return { cert_file: serverCert, key_file: serverKey };
}

function targetOf(transport: Transport, plain: number, secure: number, caFile: string) {
  if (transport === 'none') return undefined;
  if (transport === 'HTTP/1.1') return { address: `http://127.0.0.1:${plain}/auth/verify` };
  return { address: `https://127.0.0.1:${secure}/auth/verify`, caFile };
}

async function edgeRequests(lab: Lab, entry: number): Promise<string> {
  const handles = await lab.handles(SESSIONS);
  const texts = handles.map((handle) =>
    requestText('/dashboard/overview?range=30d', browserHeaders(`bff_session=${handle}`), `localhost:${entry}`),
  );
  return lab.requests(`edge-${entry}`, texts);
}
