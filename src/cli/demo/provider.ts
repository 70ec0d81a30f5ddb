import type { IncomingMessage, ServerResponse } from 'node:http';
import { type OidcContext, Provider } from 'oidc-provider';
import { startHttpServer, type TlsFiles } from './http-server.ts';
import { createProviderStorage } from './provider-adapter.ts';
import {
  compileProviderConfiguration,
  DEMO_API_AUDIENCE,
  type DemoClient,
  type DemoUser,
  generateCookieKey,
  type ProviderTtls,
} from './provider-config.ts';
import { answerInteraction } from './provider-interactions.ts';
import { generateSigningKeys } from './provider-keys.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

/** The two people of the demo: `alice` with the role `user`, `bob` with the role `admin`. */
export const DEMO_USERS: readonly DemoUser[] = [
  {
    sub: 'u-1001',
    username: 'alice',
    password: 'alice',
    name: 'Alice Example',
    email: 'alice@demo.example',
    roles: ['user'],
    groups: ['staff'],
  },
  {
    sub: 'u-1002',
    username: 'bob',
    password: 'bob',
    name: 'Bob Example',
    email: 'bob@demo.example',
    roles: ['admin'],
    groups: ['staff', 'ops'],
  },
];

/** A token request before the provider has read it. */
export type TokenCall = { readonly headers: OidcContext['headers'] };

/** An answer given instead of the provider's own. */
export type TokenAnswer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string;
};

/** The provider's own answer to a token request; whatever is changed in `body` is what the client receives. */
export type TokenOutcome = {
  readonly grantType: string | undefined;
  readonly clientId: string | undefined;
  /** Everything that the client sent. */
  readonly form: Readonly<Record<string, unknown>>;
  readonly headers: OidcContext['headers'];
  readonly status: number;
  readonly body: Record<string, unknown>;
};

/** Options of a provider; only `clients` is needed. */
export type DemoProviderOptions = {
  /** TCP port on loopback; 0 (default) lets the system choose. */
  readonly port?: number;
  /** Host name in the issuer (default 127.0.0.1); the server listens on 127.0.0.1 whatever it says. */
  readonly hostname?: string;
  readonly clients: readonly DemoClient[];
  /** Default: DEMO_USERS. */
  readonly users?: readonly DemoUser[];
  /** Access tokens are RFC 9068 JWTs for this audience (default DEMO_API_AUDIENCE); `null`: opaque, good for userinfo. */
  readonly audience?: string | null;
  readonly ttl?: ProviderTtls;
  /** With it the issuer is https. */
  readonly tls?: TlsFiles;
  /** Changes the configuration of oidc-provider: for features that the demo itself does not use. */
  readonly configure?: (configuration: Record<string, unknown>) => Record<string, unknown>;
  /** Adds to the provider itself, each time that it is made: for grants that the demo does not use. */
  readonly extend?: (provider: Provider) => void;
  /** Authentication context classes that the sign-in page grants to whoever asks for them (default none). */
  readonly classes?: readonly string[];
  /** Prints users and passwords below the sign-in form (default false). */
  readonly showHints?: boolean;
  /** Runs before each token request; may delay it, or answer instead of the provider. */
  readonly onTokenRequest?: (call: TokenCall) => Promise<TokenAnswer | undefined> | TokenAnswer | undefined;
  /** Runs after each token request the provider answered itself; may change `body`. */
  readonly onTokenResponse?: (outcome: TokenOutcome) => Promise<void> | void;
};

/** A running OpenID Provider. */
export type DemoProvider = {
  readonly issuer: string;
  readonly port: number;
  readonly audience: string | undefined;
  readonly users: readonly DemoUser[];
  /**
   * Signs with new keys from now on. Old public keys stay published, as OpenID Connect Core §10.1.1 asks, unless
   * `keepOld` is false. Sessions, codes and grants live on.
   */
  rotateKeys(options?: { keepOld?: boolean }): Promise<void>;
  /** Stops it and forgets everything. */
  close(): Promise<void>;
};

/**
 * Starts a real OpenID Provider (oidc-provider 9) on loopback, in this process, with memory of its own; any number
 * of them run side by side. Authorization code with PKCE S256 demanded, refresh tokens with rotation, userinfo,
 * introspection, revocation, RP-initiated and back-channel logout, PAR, DPoP, `iss` in answers (RFC 9207).
 * Errors: PortTakenError.
 */
export async function startDemoProvider(options: DemoProviderOptions): Promise<DemoProvider> {
  const users = options.users ?? DEMO_USERS;
  const audience = options.audience === undefined ? DEMO_API_AUDIENCE : (options.audience ?? undefined);
  let keys = await generateSigningKeys();
  let answer: Handler = refuse;
  const server = await startHttpServer({
    port: options.port ?? 0,
    tls: options.tls,
    handler: (request, response) => answer(request, response),
  });
  const issuer = `${options.tls ? 'https' : 'http'}://${options.hostname ?? '127.0.0.1'}:${server.port}`;
  const fixed = {
    clients: options.clients,
    users,
    audience,
    ttl: options.ttl ?? {},
    storage: createProviderStorage(),
    cookieKey: generateCookieKey(),
  };
  const rebuild = (): void => {
    const usual = compileProviderConfiguration({ ...fixed, keys });
    const provider = new Provider(issuer, options.configure?.(usual) ?? usual);
    options.extend?.(provider);
    answer = compileHandler(provider, options, users);
  };
  rebuild();
  return {
    issuer,
    port: server.port,
    audience,
    users,
    async rotateKeys({ keepOld = true } = {}) {
      const fresh = await generateSigningKeys();
      keys = keepOld ? [...fresh, ...keys] : fresh;
      rebuild();
    },
    close: () => server.close(),
  };
}

function refuse(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(503, { 'retry-after': '1' }).end();
}

function compileHandler(provider: Provider, options: DemoProviderOptions, users: readonly DemoUser[]): Handler {
  // Koa prints errors to the terminal unless told not to; oidc-provider has already turned them into answers.
  provider.silent = true;
  provider.use((context, next) => runTokenHooks(context, next, options));
  const protocol = provider.callback();
  const interactions = {
    users,
    showHints: options.showHints ?? false,
    classes: options.classes ?? [],
    clientNames: new Map(options.clients.map((client) => [client.client_id, displayName(client)])),
  };
  return async (request, response) => {
    if (!(await answerInteraction(provider, interactions, request, response))) {
      await protocol(request, response);
    }
  };
}

function displayName(client: DemoClient): string {
  return typeof client['client_name'] === 'string' ? client['client_name'] : client.client_id;
}

async function runTokenHooks(
  context: OidcContext,
  next: () => Promise<void>,
  hooks: Pick<DemoProviderOptions, 'onTokenRequest' | 'onTokenResponse'>,
): Promise<void> {
  if (context.path !== '/token') {
    return next();
  }
  const replacement = await hooks.onTokenRequest?.({ headers: context.headers });
  if (replacement !== undefined) {
    context.status = replacement.status;
    context.type = 'json';
    context.body = replacement.body;
    for (const [name, value] of Object.entries(replacement.headers ?? {})) {
      context.set(name, value);
    }
    return;
  }
  await next();
  await hooks.onTokenResponse?.({
    grantType: context.oidc?.params?.['grant_type'] as string | undefined,
    clientId: context.oidc?.client?.clientId,
    form: context.oidc?.body ?? {},
    headers: context.headers,
    status: context.status,
    body: context.body as Record<string, unknown>,
  });
}
