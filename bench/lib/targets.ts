/** A row of the table that `npm run bench` prints, whether it was measured or not. */
export type Target = { readonly id: string; readonly text: string };

/** What the program must reach, in the order of the table. */
export const TARGETS: readonly Target[] = [
  { id: 'P1', text: 'verify, L1 hit, realistic request, against hello' },
  { id: 'P1b', text: 'the same with the smallest request' },
  { id: 'P2', text: 'L1 off, one store read per request' },
  { id: 'P2b', text: 'L1 off, first sight of each session' },
  { id: 'P3', text: 'cached bearer token' },
  { id: 'P4', text: 'without credentials, with a malformed cookie' },
  { id: 'P5', text: 'against nginx + LuaJIT' },
  { id: 'P6', text: 'against other session gateways with the same Redis' },
  { id: 'P7', text: 'authenticated proxy of a small JSON answer' },
  { id: 'P8', text: 'proxy of 10 MiB bodies and slow streams' },
  { id: 'P9', text: '10,000 idle WebSockets' },
  { id: 'P10', text: 'latency at half of saturation' },
  { id: 'P11', text: 'cookie scan' },
  { id: 'P12', text: 'verify under a login storm' },
  { id: 'P13', text: 'memory' },
  { id: 'P14', text: 'start to first answer' },
  { id: 'P15', text: 'two workers' },
  { id: 'P16', text: 'a change seen by every process' },
  { id: 'P17', text: 'behind Traefik: HTTP/2 against HTTP/1.1' },
  { id: 'P17b', text: 'behind Traefik: against oauth2-proxy' },
  { id: 'P18', text: 'growth with sessions' },
  { id: 'P19', text: 'growth with routes' },
];
