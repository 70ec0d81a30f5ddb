/** The part of autocannon 9 that the tests use; the package has no declarations of its own. */
declare module 'autocannon' {
  namespace autocannon {
    /** One request of the sequence that each connection repeats. */
    export type LoadRequest = {
      readonly method: string;
      readonly path: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body?: string;
      onResponse(status: number, body: string): void;
    };

    /** What a run came to. */
    export type LoadResult = {
      readonly errors: number;
      readonly timeouts: number;
      readonly resets: number;
      readonly mismatches: number;
      readonly requests: { readonly total: number; readonly sent: number };
    };
  }

  /** Send `amount` requests over `connections` connections. */
  function autocannon(options: {
    readonly url: string;
    readonly connections: number;
    readonly amount: number;
    /** Seconds until a request counts as timed out. */
    readonly timeout: number;
    readonly requests: readonly autocannon.LoadRequest[];
  }): Promise<autocannon.LoadResult>;
  export = autocannon;
}
