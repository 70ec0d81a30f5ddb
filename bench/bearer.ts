import { hash } from 'node:crypto';
import { createLocalJWKSet, jwtVerify } from 'jose';
import type { BearerResult } from '../src/core/services.ts';
import { AUDIENCE, createBearerWorld, ISSUER } from '../test/core/bearer-world.ts';
import { NOW } from '../test/core/world.ts';
import type { MicroBench } from './lib/micro.ts';

const TOKENS = 64;

/** Answering a token that was validated before. Each call sees a string of its own, as requests bring them. */
export const bearerBench: MicroBench = {
  name: 'bearer',
  async createGroups() {
    const world = await createBearerWorld({ cacheEntries: TOKENS });
    const keys = createLocalJWKSet({ keys: [world.key.jwk] });
    const byText = new Map<string, string>();
    const byDigest = new Map<string, string>();
    const tokens: Buffer[] = [];
    for (let at = 0; at < TOKENS; at++) {
      const token = await world.sign({ sub: `u${at}`, padding: 'p'.repeat(400) });
      await world.check(token);
      byText.set(token, `u${at}`);
      byDigest.set(hash('sha256', token, 'base64url'), `u${at}`);
      tokens.push(Buffer.from(token, 'latin1'));
    }
    const each = (find: (token: string) => unknown) => (): unknown =>
      tokens.map((bytes) => find(bytes.toString('latin1')));
    const options = { issuer: ISSUER, audience: AUDIENCE, typ: 'at+jwt', currentDate: new Date(NOW) };
    const validate = async (token: string): Promise<unknown> => (await jwtVerify(token, keys, options)).payload.sub;
    return [
      {
        name: 'a remembered token',
        calls: TOKENS,
        ways: {
          'by the end of its signature (shipped)': each((token) => userOf(world.ask(token))),
          'by its whole text': each((token) => byText.get(token)),
          'by its SHA-256': each((token) => byDigest.get(hash('sha256', token, 'base64url'))),
          'validated again (jose, ES256)': () => Promise.all(tokens.map((bytes) => validate(bytes.toString('latin1')))),
        },
      },
    ];
  },
};

function userOf(result: BearerResult | Promise<BearerResult>): string | undefined {
  return 'kind' in result && result.kind === 'caller' ? result.session.hot.principal.subject : undefined;
}
