/** The part of oidc-provider 9 that the demo uses; the package ships no types of its own. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http';

  /** What the provider stores for one artifact; the adapter reads only these members. */
  export type AdapterPayload = {
    uid?: string;
    userCode?: string;
    grantId?: string;
    consumed?: number;
    [member: string]: unknown;
  };

  /** Storage of one model. Expiry in seconds. */
  export type OidcAdapter = {
    upsert(id: string, payload: AdapterPayload, expiresInSeconds?: number): Promise<void>;
    find(id: string): Promise<AdapterPayload | undefined>;
    findByUid(uid: string): Promise<AdapterPayload | undefined>;
    findByUserCode(userCode: string): Promise<AdapterPayload | undefined>;
    consume(id: string): Promise<void>;
    destroy(id: string): Promise<void>;
    revokeByGrantId(grantId: string): Promise<void>;
  };

  /** The Koa context, as far as the demo touches it. */
  export type OidcContext = {
    readonly path: string;
    readonly method: string;
    readonly headers: Readonly<Record<string, string | string[] | undefined>>;
    status: number;
    type: string;
    body: unknown;
    set(name: string, value: string): void;
    readonly oidc?: {
      readonly params?: Readonly<Record<string, unknown>>;
      /** The form of a POST, as it came. */
      readonly body?: Readonly<Record<string, unknown>>;
      readonly client?: { readonly clientId: string; readonly clientName?: string };
    };
  };

  /** A pending sign-in or consent question. */
  export type OidcInteraction = {
    readonly uid: string;
    readonly prompt: {
      readonly name: string;
      readonly details: {
        readonly missingOIDCScope?: readonly string[];
        readonly missingOIDCClaims?: readonly string[];
        readonly missingResourceScopes?: Readonly<Record<string, readonly string[]>>;
      };
    };
    readonly params: Readonly<Record<string, string | undefined>>;
    readonly session?: { readonly accountId: string };
    readonly grantId?: string;
  };

  /** What a user agreed to give a client. */
  export class OidcGrant {
    constructor(properties: { accountId: string; clientId: string });
    addOIDCScope(scope: string): void;
    addOIDCClaims(claims: readonly string[]): void;
    addResourceScope(resource: string, scope: string): void;
    save(): Promise<string>;
  }

  /** An OpenID Provider as a Koa application. */
  export class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>);
    readonly issuer: string;
    readonly Grant: typeof OidcGrant & { find(id: string): Promise<OidcGrant | undefined> };
    silent: boolean;
    /** A further grant of the token endpoint. @param parameters what it reads of the form, besides `grant_type`. */
    registerGrantType(name: string, handler: (context: OidcContext) => Promise<void>, parameters: string[]): void;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
    use(middleware: (context: OidcContext, next: () => Promise<void>) => Promise<void>): this;
    on(event: string, listener: (...details: never[]) => void): this;
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<OidcInteraction>;
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: Readonly<Record<string, unknown>>,
      options?: { mergeWithLastSubmission?: boolean },
    ): Promise<void>;
  }
}
