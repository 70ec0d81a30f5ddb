import assert from 'node:assert/strict';
import type { RawResponse } from '../../scripts/attacks/raw-client.ts';
import { ERRORS, type ErrorCode } from '../../src/core/errors.ts';
import { answerJson } from '../support/misbehaving-service.ts';
import {
  type Ask,
  callbackTarget,
  cookieChanges,
  createBrowser,
  headerOf,
  type TestBrowser,
} from '../support/raw-client.ts';
import {
  publishKeys,
  type ScriptedProvider,
  signIdToken,
  startScriptedProvider,
} from '../support/scripted-provider.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../support/test-server.ts';
import { until } from '../support/until.ts';
import { createKeys, type Keys, type ProviderFault } from './provider-cases.ts';

/** A provider that publishes the test's own keys, and a server that signs in with it. */
export type ProviderLab = {
  readonly provider: ScriptedProvider;
  readonly keys: Keys;
  readonly server: TestServer;
  /** Sign a fresh browser in while the provider fails in one way. */
  attempt(fault: Pick<ProviderFault, 'token' | 'patch' | 'userinfo'>, ask?: Ask): Promise<Attempt>;
  /** Sign a fresh browser in without any fault. */
  signIn(): Promise<Attempt>;
  close(): Promise<void>;
};

/** A login as far as it came. */
export type Attempt = { readonly browser: TestBrowser; readonly response: RawResponse };

/** Options of a lab. */
export type LabOptions = Omit<Partial<TestServerOptions>, 'peers' | 'idps'> & {
  /** Further keys of the provider's entry in idps.yaml. */
  readonly idp?: Readonly<Record<string, unknown>>;
  /** Members of the provider's metadata. */
  readonly metadata?: (frontUrl: string) => object;
  /** False: the metadata is refused, and the lab does not wait for it. */
  readonly isUsable?: boolean;
  /** `bearer` of idps.yaml, for the lab's provider. */
  readonly bearer?: (issuer: string) => object;
};

/** Start a lab; its provider offers UserInfo, which the server asks for if `idp.userinfo` is on. */
export async function startProviderLab(options: LabOptions = {}): Promise<ProviderLab> {
  const { idp = {}, bearer, metadata: different, isUsable = true, ...serverOptions } = options;
  const [provider, keys] = await Promise.all([startScriptedProvider(), createKeys()]);
  const { front } = provider;
  publishKeys(provider, keys.ec, keys.rsa);
  const metadata = await provider.metadata({ userinfo_endpoint: `${front.url}/userinfo`, ...different?.(front.url) });
  front.on('/.well-known/openid-configuration', answerJson(metadata));
  const idps = {
    ...provider.idps({ id_token_algs: ['ES256'], ...idp }),
    ...(bearer === undefined ? {} : { bearer: bearer(provider.issuer) }),
  };
  const server = await startTestServer({ ...serverOptions, idps, peers: [front] }).catch(async (error: unknown) => {
    await provider.close();
    throw error;
  });
  if (isUsable) await server.whenReady();
  else await until(() => server.log.some(({ level }) => level === 'warn'), 'a line about the metadata');
  const attempt: ProviderLab['attempt'] = async (fault, ask = {}) => {
    const browser = createBrowser(server);
    const { state, nonce } = await browser.beginLogin();
    const patch = await (fault.patch ?? usualPatch)({ provider, keys, nonce });
    front.on('/userinfo', fault.userinfo ?? answerJson({ sub: 'u-alice', name: 'Alice' }));
    if (fault.token === undefined) front.off('/token');
    else front.on('/token', fault.token);
    const code = provider.codeFor({ nonce, patch });
    const response = await browser.ask(callbackTarget(provider, state, code), ask);
    front.off('/token');
    return { browser, response };
  };
  return {
    provider,
    keys,
    server,
    attempt,
    signIn: () => attempt({}),
    async close() {
      try {
        await server.close();
      } finally {
        await provider.close();
      }
    },
  };
}

async function usualPatch({ provider, keys, nonce }: Parameters<NonNullable<ProviderFault['patch']>>[0]) {
  return { id_token: await signIdToken(provider, keys.ec, nonce) };
}

/**
 * A login that failed at the provider: the page of the code with a way forward, no session, the transaction spent, and
 * no secret in the answer or in any log line.
 */
export async function assertRefused(lab: ProviderLab, { browser, response }: Attempt, code: ErrorCode): Promise<void> {
  const { status, title } = ERRORS[code];
  const shown = { status: response.status, code: codeOfPage(response) };
  assert.deepEqual(shown, { status, code });
  assert.equal(headerOf(response, 'content-type'), 'text/html; charset=utf-8');
  assert.equal(headerOf(response, 'cache-control'), 'no-store');
  assert.ok(response.body.includes(`<h1>${title}</h1>`), 'the page says what happened');
  assert.match(
    response.body,
    /<a class="button primary" href="https:\/\/app\.example\.test\/auth\/login">Sign in again<\/a>/,
  );
  const { set, expired } = cookieChanges(response);
  assert.deepEqual(set, [], 'no cookie is set');
  assert.deepEqual(
    expired.map((name) => name.slice(0, 14)),
    ['__Host-bff_tx_'],
    'the transaction is spent',
  );
  assert.equal((await browser.verify({ as: 'fetch' })).status, 401, 'nobody is signed in');
  assertNoSecrets(lab.provider, lab.server, browser);
}

/** None of the provider's codes, verifiers, tokens and secrets is in a log line, or in an answer to the browser. */
export function assertNoSecrets(
  provider: Pick<ScriptedProvider, 'secrets'>,
  server: Pick<TestServer, 'log'>,
  browser: Pick<TestBrowser, 'received'>,
): void {
  const secrets = provider.secrets();
  assert.ok(secrets.length > 0, 'there are secrets to look for');
  const lines = server.log.map((line) => JSON.stringify(line));
  for (const secret of secrets) {
    // As JSON: control characters of a bad token are escaped in a line.
    const text = JSON.stringify(secret).slice(1, -1);
    assert.ok(!lines.some((line) => line.includes(text)), `a log line holds ${secret.slice(0, 8)}…`);
    assert.ok(!browser.received.some((answer) => answer.includes(secret)), `an answer holds ${secret.slice(0, 8)}…`);
  }
}

/** The code that an error page names in its small print. */
export function codeOfPage(response: RawResponse): string | undefined {
  return /<small>Code ([a-z_]+) · request [\w-]+<\/small>/.exec(response.body)?.[1];
}
