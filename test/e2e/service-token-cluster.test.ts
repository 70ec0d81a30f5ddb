import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeJwt } from 'jose';
import { DEMO_API_AUDIENCE } from '../../src/cli/demo/provider-config.ts';
import { asTraefik } from '../support/gateway.ts';
import { skipWithout } from '../support/parts.ts';
import { assertNoReuse, type ClusterAnswer, startCluster } from './refresh-cluster.ts';

const AUDIENCE = 'https://analytics.example.test';
const OTHER = 'https://reports.example.test';
const token = { source: 'refresh' };

const FILES = {
  idp: { audiences: { request: [DEMO_API_AUDIENCE, AUDIENCE, OTHER] } },
  routes: {
    version: 1,
    services: {
      analytics: { urls: ['http://127.0.0.1:1'], audience: AUDIENCE, token },
      reports: { urls: ['http://127.0.0.1:1'], audience: OTHER, token },
    },
    routes: [],
  },
};

const claimsOf = ({ headers }: ClusterAnswer) =>
  decodeJwt(String(headers['authorization'] ?? '').replace('Bearer ', ''));

describe('tokens of services in a cluster of three processes over Redis', { skip: skipWithout('redis-server') }, () => {
  test('1,000 parallel first uses are one token call, by the lease of whoever spends the refresh token', async () => {
    const cluster = await startCluster({ refresh: { wait_max: '20s' } }, 5_000, undefined, FILES);
    try {
      const jar = await cluster.signIn('alice');
      const other = await cluster.signIn('bob');
      const gateway = asTraefik(`http://localhost:${cluster.servers[0]?.ports.public}`, '/page');
      const ask = (index: number, who: typeof jar, service: string): Promise<ClusterAnswer> =>
        cluster.ask(index % 3, who, `/auth/verify?service=${service}`, { headers: gateway });
      const answers = await Promise.all(Array.from({ length: 1_000 }, (_, index) => ask(index, jar, 'analytics')));
      assert.equal(cluster.refreshes.length, 1, 'one token call');
      for (const answer of answers) {
        assert.deepEqual([answer.status, claimsOf(answer).aud, claimsOf(answer).sub], [200, AUDIENCE, 'u-1001']);
      }
      const mixed = await Promise.all(
        Array.from({ length: 300 }, async (_, index) => {
          const [who, sub] = index % 2 === 0 ? ([jar, 'u-1001'] as const) : ([other, 'u-1002'] as const);
          const [service, audience] =
            index % 5 < 2 ? (['reports', OTHER] as const) : (['analytics', AUDIENCE] as const);
          return { answer: await ask(index, who, service), expected: [200, audience, sub] };
        }),
      );
      for (const { answer, expected } of mixed) {
        assert.deepEqual([answer.status, claimsOf(answer).aud, claimsOf(answer).sub], expected);
      }
      assert.equal(cluster.refreshes.length, 4, 'one for each session and audience');
      assertNoReuse(cluster);
      assert.deepEqual(await cluster.redis.keys('sp:l:*'), [], 'no lease is left');
    } finally {
      await cluster.close();
    }
  });
});
