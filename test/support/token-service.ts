import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { JWTPayload } from 'jose';

/** What a service saw of one request. */
export type SeenToken = {
  readonly path: string;
  readonly authorization: string;
  readonly claims: JWTPayload | undefined;
};

/** A service that believes no gateway: it verifies the token of each request itself. */
export type TokenService = {
  readonly url: string;
  readonly seen: readonly SeenToken[];
  close(): Promise<void>;
};

/**
 * Start a service on a free port of loopback. 200 with the claims as JSON for a token that is good for it, else 401.
 * @param verify signature, audience and time; rejects what is wrong.
 * @param scope what a token must grant besides.
 */
export async function startTokenService(
  verify: (token: string) => Promise<JWTPayload>,
  scope: string | undefined,
): Promise<TokenService> {
  const seen: SeenToken[] = [];
  const server = createServer((request, response) => {
    const { authorization = '' } = request.headers;
    void verify(authorization.replace(/^Bearer /, ''))
      .catch(() => undefined)
      .then((claims) => {
        const isGood =
          claims !== undefined && (scope === undefined || String(claims['scope']).split(' ').includes(scope));
        seen.push({ path: request.url ?? '', authorization, claims: isGood ? claims : undefined });
        response
          .writeHead(isGood ? 200 : 401, { 'content-type': 'application/json' })
          .end(JSON.stringify(claims ?? {}));
      });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
