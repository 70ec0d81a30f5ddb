import type { Lab } from './lab.ts';
import type { OnceAnswer } from './once.ts';
import type { Spread } from './stats.ts';

/** How long and how often; from the command line. */
export type BenchOptions = {
  readonly rounds: number;
  /** Counted time of one measurement. */
  readonly seconds: number;
  /** Load before it that is not counted. */
  readonly warmUpSeconds: number;
  /** Sizes of data sets are cut down for a look at whether everything runs; the table then says so. */
  readonly quick: boolean;
  readonly connections: number;
  /** Longest time spent on one measurement to find a quiet machine. */
  readonly patienceSeconds: number;
  /** Told what is going on, one line each. */
  say(line: string): void;
};

/** A server that runs and can be asked. */
export type OpenSubject = {
  readonly port: number;
  /** The processes whose time counts; what they started counts too. */
  readonly pids: readonly number[];
  /** File of whole requests that are sent in turn, see wrk.lua. */
  readonly requestsFile: string;
  /** Instead of the usual number. */
  readonly connections?: number;
  close(): Promise<void>;
};

/** One thing that is measured, and the test of whether it does what it is measured for. */
export type Subject = {
  readonly name: string;
  /** For people: what is measured. */
  readonly title: string;
  /** Parts of scripts/parts.json without which it cannot run. */
  readonly needs: readonly string[];
  open(lab: Lab): Promise<OpenSubject>;
  /** Throws unless the answer to the first request is the right one. */
  check(answer: OnceAnswer): void;
  /** Every answer is a refusal, as it must be. */
  readonly refuses?: boolean;
};

/** One measurement of one subject. */
export type Sample = {
  readonly subject: string;
  readonly round: number;
  readonly requests: number;
  readonly perSecond: number;
  /** Processor time of the server for each request, µs: user and system. */
  readonly cpuUs: number;
  /** Share of one core that the server used. */
  readonly serverShare: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Share of the machine that programs used which have nothing to do with this. */
  readonly foreignShare: number;
  /** Share of the machine that its host took away. */
  readonly stealShare: number;
  /** Measured again because the machine was not quiet. */
  readonly repeats: number;
};

/** A measured number beside its target. */
export type Measure = {
  /** `P1`. */
  readonly target: string;
  readonly what: string;
  readonly spread: Spread;
  readonly unit: string;
  /** Undefined: shown for comparison, not judged. */
  readonly limit: { readonly kind: 'at most' | 'at least'; readonly value: number } | undefined;
  /** What a reader has to know about how it came about. */
  readonly note?: string;
};

/** What a scenario found. */
export type Outcome = {
  readonly samples: readonly Sample[];
  readonly measures: readonly Measure[];
  /** Why something could not be measured, by target. */
  readonly gaps: readonly { readonly target: string; readonly reason: string }[];
};

/** A set of measurements that belong together. */
export type Scenario = {
  /** As on the command line. */
  readonly name: string;
  readonly title: string;
  /** What a test can run once. */
  readonly subjects: readonly Subject[];
  run(lab: Lab, options: BenchOptions): Promise<Outcome>;
};
