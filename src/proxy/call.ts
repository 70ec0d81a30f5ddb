import type { App } from '../core/app.ts';
import type { Exchange } from '../core/app-exchange.ts';
import type { ServiceTimeouts } from '../core/config/types-service.ts';
import type { Logger } from '../core/log.ts';
import type { Session } from '../core/services.ts';
import type { Asked } from './authorize.ts';
import type { ServiceRuntime } from './http-pools.ts';
import type { LongAnswers } from './long-answers.ts';
import type { RequestProofs } from './proof.ts';
import type { ResponseRules } from './response-headers.ts';
import type { Upload } from './upload.ts';

/** One authorized request, ready to be sent. */
export type Call = {
  readonly app: App;
  readonly exchange: Exchange;
  readonly asked: Asked;
  /** On whose behalf; undefined = nobody's. */
  readonly session: Session | undefined;
  readonly longAnswers: LongAnswers;
  readonly log: Logger;
  readonly service: ServiceRuntime;
  /** Of the route. */
  readonly timeouts: ServiceTimeouts;
  /** Begins with one `/`. */
  readonly target: string;
  /** Header lines, each with its CRLF. */
  readonly lines: string;
  readonly upload: Upload | undefined;
  readonly response: ResponseRules;
  /** Of a token that is bound to a key; undefined = it is not. */
  readonly proofs: RequestProofs | undefined;
};
