import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JWK } from 'jose';
import { type Instance, ISSUER, SECOND_ISSUER, startInstance } from './instance.ts';
import { createHolder, type Holder } from './jwt-dpop.ts';
import { createJwtKeys, type JwtKeys } from './jwt-keys.ts';
import { CASE_NOW_S } from './jwt-token.ts';
import { DEFAULT_SPEC } from './world.ts';

/** The server under attack with the issuers' key servers. */
export type JwtWorld = {
  readonly keys: JwtKeys;
  /** The instance that accepts these algorithms; its clock stands at the cases' instant when it starts. */
  instance(algs: readonly string[]): Promise<Instance>;
  /** The same whose main provider is asked for UserInfo. */
  withUserinfo(): Promise<Instance>;
  /** Clock of an instance, s. */
  nowS(instance: Instance): number;
  /** Whoever brings bound tokens. */
  readonly holder: Holder;
  /** What the main issuer answers to every token request from now on. */
  answerTokens(answer: object): void;
  /** What it answers as UserInfo from now on. */
  answerUserinfo(answer: object): void;
  /** Reads of any issuer's key set so far. */
  keyReads(): number;
  close(): Promise<void>;
};

/** What a case without `allowed_algs` may use. */
export const DEFAULT_ALGS: readonly string[] = ['ES256', 'ES384', 'RS256', 'PS256'];

/** The paths of the sample table take sessions alone; tokens are what is attacked here. */
const ROUTES = {
  version: 1,
  routes: [{ id: 'api', hosts: ['app.example.test'], paths: ['/api/*'], auth: 'any' }],
};

type KeyServer = {
  readonly url: string;
  reads(): number;
  answerTokens(answer: object): void;
  answerUserinfo(answer: object): void;
  close(): Promise<void>;
};

/** Start the key servers; instances start on demand. */
export async function createJwtWorld(): Promise<JwtWorld> {
  const keys = createJwtKeys();
  const [main, second] = await Promise.all([
    startKeyServer(ISSUER, keys.published),
    startKeyServer(SECOND_ISSUER, keys.publishedElsewhere),
  ]);
  const instances = new Map<string, Promise<Instance>>();
  const offsets = new Map<Instance, number>();
  const start = async (bearerAlgs: readonly string[], userinfo = false): Promise<Instance> => {
    const parts = { idpUrl: main.url, secondIdpUrl: second.url, echoUrl: 'http://127.0.0.1:9' };
    const instance = await startInstance({ ...DEFAULT_SPEC, bearerAlgs, userinfo, routes: ROUTES }, parts);
    const offsetMs = CASE_NOW_S * 1000 - Date.now();
    instance.advanceMs(offsetMs);
    offsets.set(instance, offsetMs);
    return instance;
  };
  return {
    keys,
    instance(algs) {
      const known = instances.get(algs.join()) ?? start(algs);
      instances.set(algs.join(), known);
      return known;
    },
    withUserinfo() {
      const known = instances.get('userinfo') ?? start(DEFAULT_ALGS, true);
      instances.set('userinfo', known);
      return known;
    },
    nowS: (instance) => Math.floor((Date.now() + (offsets.get(instance) ?? 0)) / 1000),
    holder: createHolder(),
    answerTokens: main.answerTokens,
    answerUserinfo: main.answerUserinfo,
    keyReads: () => main.reads() + second.reads(),
    async close() {
      for (const started of instances.values()) await started.then((instance) => instance.close());
      await Promise.all([main.close(), second.close()]);
    },
  };
}

/** Discovery, keys and token endpoint of one issuer, on a free loopback port. */
async function startKeyServer(issuer: string, keys: readonly JWK[]): Promise<KeyServer> {
  const metadata = {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    userinfo_endpoint: `${issuer}/userinfo`,
    response_types_supported: ['code'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256'],
  };
  let reads = 0;
  const answers = new Map<string | undefined, object>([
    ['/jwks', { keys }],
    ['/token', { error: 'invalid_grant' }],
    ['/userinfo', { sub: 'nobody' }],
  ]);
  const server = createServer((request, response) => {
    if (request.url === '/jwks') reads += 1;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answers.get(request.url) ?? metadata));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    reads: () => reads,
    answerTokens: (answer) => void answers.set('/token', answer),
    answerUserinfo: (answer) => void answers.set('/userinfo', answer),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
