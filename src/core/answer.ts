import type { ErrorCode } from './errors.ts';
import type { HeaderPairs } from './origin.ts';
import type { SiteRuntime } from './sites.ts';

/** An answer as a value: flows make it, reply.ts writes it. */
export type Reply = {
  readonly status: number;
  /** Lower-case names; a name may repeat (`set-cookie`). */
  readonly headers: HeaderPairs;
  readonly body: string;
};

/** One occurrence of an error, and who is looking at it. */
export type Problem = {
  readonly code: ErrorCode;
  /** Public sentence; the table's if absent. */
  readonly detail?: string | undefined;
  readonly loginUrl?: string | undefined;
  readonly retryAfterS?: number | undefined;
  readonly headers?: HeaderPairs;
  /** The service whose token is concerned, for the log. */
  readonly service?: string | undefined;
  /** A person is looking: a page instead of JSON. */
  readonly navigation: boolean;
  readonly site: SiteRuntime | undefined;
};
