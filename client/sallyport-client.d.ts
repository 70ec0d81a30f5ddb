/** How a client differs from the usual one. */
export interface ClientOptions {
  /** What API paths begin with. Default `/api`; an absolute URL for an API on another origin that is listed there. */
  readonly base?: string;
  /** Where Sallyport's session check is. Default `<origin of base>/api/auth/session`. */
  readonly sessionUrl?: string;
  /** Name of the CSRF header. Default `X-CSRF`. */
  readonly csrfHeader?: string;
  /** Its value in mode `header`. Default `1`. In mode `token` the token of the session check takes its place. */
  readonly csrfValue?: string;
  /** Keys of localStorage and sessionStorage that belong to the application and go at the sign-out. */
  readonly storageKeys?: readonly string[];
  /** Called instead of a navigation to the sign-in. */
  readonly onSignIn?: (loginUrl: string) => void;
}

/** What the session check says (`GET /api/auth/session`). */
export interface SessionState {
  readonly authenticated: boolean;
  readonly user?: Readonly<Record<string, unknown>>;
  readonly idp?: string;
  /** Seconds until the session ends if nothing happens. */
  readonly expires_in?: number;
  /** Seconds until it ends in any case. */
  readonly absolute_expires_in?: number;
  readonly login_url: string;
  readonly logout_url?: string;
  /** In CSRF mode `token`. */
  readonly csrf_token?: string;
}

/** A 2xx answer. */
export interface Answer<Body = unknown> {
  readonly status: number;
  /** Parsed JSON, else the text; undefined if there is none. */
  readonly body: Body;
  readonly headers: Headers;
}

/** A request. */
export interface RequestOptions {
  readonly method?: string;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is; `json` must be absent. */
  readonly body?: BodyInit;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** An upload. */
export interface UploadOptions {
  /** Default POST. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Called as bytes leave; `total` is 0 while it is unknown. */
  readonly onProgress?: (sent: number, total: number) => void;
}

/** A message of an event stream. */
export interface StreamEvent {
  readonly type: string;
  readonly data: string;
  readonly id: string;
}

/** An event stream. */
export interface EventOptions {
  readonly onEvent: (event: StreamEvent) => void;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A WebSocket. */
export interface SocketOptions {
  readonly protocols?: string | readonly string[];
  /** The session has ended (close code 4401). Without it the client goes to the sign-in. */
  readonly onSessionEnd?: () => void;
}

/** An answer that is no success, or the lack of one (status 0). */
export class SallyportProblem extends Error {
  readonly status: number;
  /** Sallyport's error code, `network_error`, or `http_error` of a service that gave none. */
  readonly code: string;
  readonly detail: string;
  readonly requestId: string | undefined;
  readonly loginUrl: string | undefined;
  /** Seconds, where the server says when to try again. */
  readonly retryAfter: number | undefined;
}

/** What `createClient` returns. */
export interface SallyportClient {
  /** Who is signed in; looking does not extend the session unless `slide` is true. @throws SallyportProblem */
  session(options?: { readonly slide?: boolean; readonly signal?: AbortSignal }): Promise<SessionState>;
  /** One request below `base`. A missing session leads to the sign-in; every other failure is thrown. */
  request<Body = unknown>(path: string, options?: RequestOptions): Promise<Answer<Body>>;
  /** Send a file or bytes and report how far it is. */
  upload<Body = unknown>(path: string, body: XMLHttpRequestBodyInit, options?: UploadOptions): Promise<Answer<Body>>;
  /** Read an event stream until it ends or `signal` aborts; resolves then. */
  events(path: string, options: EventOptions): Promise<void>;
  /** The `ws:` or `wss:` address of a path below `base`. */
  socketUrl(path: string): string;
  /** Open a WebSocket that knows what close code 4401 means. */
  socket(path: string, options?: SocketOptions): WebSocket;
  /** Go to the sign-in, and come back to this page. */
  signIn(loginUrl?: string): void;
  /** Close open streams and sockets, clear the storage keys, go to `/auth/logout`. */
  signOut(options?: { readonly everywhere?: boolean }): void;
}

/** Create a client. Needs a browser, or what of one is used: fetch, location. */
export function createClient(options?: ClientOptions): SallyportClient;
/** Close code of a WebSocket whose session has ended. */
export const SESSION_ENDED: 4401;
