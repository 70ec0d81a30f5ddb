import { SallyportError } from '../../src/core/errors.ts';
import type { Refresh } from '../../src/core/freshness.ts';
import type { Timers } from '../../src/core/lease.ts';
import { LIMITS } from '../../src/core/limits.ts';
import { createLog } from '../../src/core/log.ts';
import type { Session, Sessions } from '../../src/core/services.ts';
import { locatorOf } from '../../src/core/session.ts';
import type { SessionStore, StoreChanges, StoredHot } from '../../src/core/store.ts';
import { viewOf } from '../../src/core/store-hot.ts';
import { createMemoryStore } from '../../src/core/store-memory.ts';
import { createRefresh } from '../../src/flows/refresh.ts';
import type { FlightEvents } from '../../src/flows/refresh-flight.ts';
import type { GrantAnswer } from '../../src/flows/refresh-grant.ts';
import { createRefreshRecords } from '../../src/flows/refresh-record.ts';
import { loginOf, made, ringOf } from '../core/sessions-support.ts';
import { hotOf, NOW } from '../core/world.ts';
import { sessionsOver } from '../support/direct-sessions.ts';
import { NO_IDENTITY } from '../support/identity.ts';

/** Random numbers that a seed decides (mulberry32). */
function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Time that passes only when everything waits. */
export type VirtualTime = {
  now(): number;
  at(ms: number, run: () => void): () => void;
  /** Let everything happen that is to happen until `end`, ms since the epoch. */
  runUntil(end: number): Promise<void>;
};

/** Create time that begins at NOW. */
function createVirtualTime(): VirtualTime {
  let time = NOW;
  let order = 0;
  const due: { at: number; order: number; run: () => void }[] = [];
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  return {
    now: () => time,
    at(ms, run) {
      order += 1;
      const entry = { at: time + Math.max(0, ms), order, run };
      const index = due.findIndex((other) => other.at > entry.at);
      due.splice(index === -1 ? due.length : index, 0, entry);
      return () => {
        const position = due.indexOf(entry);
        if (position !== -1) due.splice(position, 1);
      };
    },
    async runUntil(end) {
      await settle();
      for (let next = due[0]; next !== undefined && next.at <= end; next = due[0]) {
        due.shift();
        time = next.at;
        next.run();
        await settle();
      }
      time = end;
    },
  };
}

/** A token call as it went over the wire. */
export type TokenCall = {
  readonly token: string;
  readonly process: number;
  readonly startedAt: number;
  /** When its caller's socket was done with it: answered, broken or past its deadline. */
  endedAt: number;
  /** The caller has seen the tokens. */
  isDelivered: boolean;
  /** The provider has given new tokens for it. */
  isRotated: boolean;
};

/** What goes wrong in a world; each from 0 to 1, for each occasion. */
export type Faults = {
  /** A store command is lost before, or its answer after it was done. */
  readonly store: number;
  /** A token call never reaches the provider; its answer is lost; it breaks at once. */
  readonly call: number;
  readonly answer: number;
  readonly broken: number;
};

/** No faults. */
export const NO_FAULTS: Faults = { store: 0, call: 0, answer: 0, broken: 0 };

/** Total deadline of a token call, ms. */
export const CALL_MS = 2_000;
/** Longest a request waits. */
export const WAIT_MAX_MS = 3_000;
/** Life of an access token. */
export const TOKEN_MS = 30_000;

// Made once: they cost more than the rest of a process, and hold nothing of a life.
const RING = ringOf('k1');
const LOG = createLog({ level: 'silent' });

type Process = {
  readonly index: number;
  readonly sessions: Sessions;
  readonly refresh: Refresh;
  state: { killed: boolean; pausedUntil: number };
};

/** A cluster of processes over one store and one provider that rotates and detects reuse. */
export class RefreshWorld {
  readonly time = createVirtualTime();
  readonly store: SessionStore = createMemoryStore();
  readonly calls: TokenCall[] = [];
  readonly events: [string, number][] = [];
  readonly processes: Process[];
  /** Times that a spent refresh token came again. */
  readonly reuses: TokenCall[] = [];
  readonly revoked: string[] = [];
  readonly errors: unknown[] = [];
  generation = 0;
  isGrantRevoked = false;
  isProviderDown = false;
  /** Somebody has signed out. */
  isEnded = false;
  handle = '';
  /** Told about each token call as it begins, and each store command as it is done. */
  onCall: (call: TokenCall) => void = () => {};
  onCommand: (process: number, name: string) => void = () => {};
  readonly #pauses: { readonly index: number; readonly from: number; readonly until: number }[] = [];
  readonly #random: () => number;
  readonly #faults: Faults;

  constructor(seed: number, processes: number, faults: Faults) {
    this.#random = createRandom(seed);
    this.#faults = faults;
    this.processes = Array.from({ length: processes }, (_, index) => this.#createProcess(index));
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  pick(count: number): number {
    return Math.floor(this.#random() * count);
  }

  /** The refresh token that the provider would take now. */
  get current(): string {
    return `rt-${this.generation}`;
  }

  async signIn(): Promise<void> {
    const tokens = { accessToken: 'at-0', tokenIssuedAt: NOW, tokenExpiresAt: NOW + TOKEN_MS, renewable: true };
    const { hot } = loginOf(tokens);
    const sessions = this.#sessionsOver(this.store);
    const cold = { refreshToken: 'rt-0', idToken: undefined };
    this.handle = made(await sessions.create({ hot, cold, startedAt: NOW })).handle;
  }

  /** Wait as long as a process's promise takes, which may be for ever. */
  #through<T>(state: Process['state'], minMs: number, maxMs: number, act: () => T | Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    this.#passTo(state, minMs + this.#random() * (maxMs - minMs), () => {
      Promise.resolve().then(act).then(resolve, reject);
    });
    return promise;
  }

  /** Run in a process after `ms`, when it runs at all. */
  #passTo(state: Process['state'], ms: number, run: () => void): () => void {
    let cancel = this.time.at(ms, () => {
      if (state.killed) return;
      const restMs = state.pausedUntil - this.time.now();
      if (restMs > 0) cancel = this.#passTo(state, restMs, run);
      else run();
    });
    return () => cancel();
  }

  #createProcess(index: number): Process {
    const state = { killed: false, pausedUntil: 0 };
    const timers: Timers = { schedule: (ms, run) => this.#passTo(state, ms, run) };
    const store = this.#storeOf(index, state);
    const sessions = this.#sessionsOver(store);
    const note = (what: string) => () => void this.events.push([what, index]);
    const events: FlightEvents = {
      renewed: note('renewed'),
      kept: note('kept'),
      ended: (_session, cause, reason) => void this.events.push([`refresh_${cause} ${reason}`, index]),
      superseded: note('superseded'),
    };
    const refresh = createRefresh({
      store,
      sessions,
      ring: RING,
      clock: this.time,
      timers,
      identity: NO_IDENTITY,
      log: LOG,
      settings: { leadMs: 8_000, jitterMs: 2_000, waitMaxMs: WAIT_MAX_MS, backoff: { firstMs: 1_000, maxMs: 8_000 } },
      allow: { emailDomains: [], groups: [], roles: [] },
      events,
      random: () => this.#random(),
      grantOf: () => ({ grant: (_basis, token) => this.#callProvider(index, state, token), callMs: CALL_MS }),
      revoke: (_idp, tokens) => void this.revoked.push(...tokens),
      onFlights: () => {},
    });
    return { index, sessions, refresh, state };
  }

  #sessionsOver(store: SessionStore): Sessions {
    return sessionsOver({
      ...{ store, ring: RING, clock: this.time },
      onBackgroundError: (error) => this.errors.push(error),
    });
  }

  /** One process's view of the store: commands take time, may be lost, and so may their answers. */
  #storeOf(index: number, state: Process['state']): SessionStore {
    const wrap = (target: object): never =>
      new Proxy(target, {
        get: (from, name) => {
          const member = Reflect.get(from, name) as unknown;
          if (name === 'changes') return this.#changesOf(state, member as StoreChanges);
          if (name === 'leases') return wrap(member as object);
          if (typeof member !== 'function') return member;
          if (name === 'lookUp') return this.#lookUpOf(index, state, from as SessionStore);
          return (...words: unknown[]) =>
            this.#command(state, () => {
              this.onCommand(index, String(name));
              return member.apply(from, words) as unknown;
            });
        },
      }) as never;
    return wrap(this.store);
  }

  #lookUpOf(index: number, state: Process['state'], store: SessionStore): SessionStore['lookUp'] {
    return (locator, now, waiter) => {
      const read = (): unknown => {
        this.onCommand(index, 'lookUp');
        return store.readHot(locator, now);
      };
      (this.#command(state, read) as Promise<StoredHot | undefined>).then(
        (stored) => waiter.done(stored && viewOf(stored)),
        (error: unknown) => waiter.failed(error),
      );
    };
  }

  async #command(state: Process['state'], run: () => unknown): Promise<unknown> {
    const lost = new SallyportError('store_unavailable', { detail: 'model' });
    const isLost = this.chance(this.#faults.store);
    const isAnswerLost = this.chance(this.#faults.store);
    // The command arrives, whatever becomes of its sender meanwhile.
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.time.at(this.#random() * 3, () => resolve(isLost ? undefined : run()));
    const value = await promise;
    return this.#through(state, 0, 3, () => {
      if (isLost || isAnswerLost) throw lost;
      return value;
    });
  }

  #changesOf(state: Process['state'], changes: StoreChanges): StoreChanges {
    return {
      currentUntil: () => 0,
      onInvalidate: (listener) =>
        changes.onInvalidate((what, locator) => {
          // One message in ten never comes.
          if (this.chance(0.9)) this.#passTo(state, this.#random() * 20, () => listener(what, locator));
        }),
    };
  }

  async #callProvider(process: number, state: Process['state'], token: string): Promise<GrantAnswer> {
    const startedAt = this.time.now();
    const call: TokenCall = {
      token,
      process,
      startedAt,
      endedAt: startedAt + CALL_MS,
      isDelivered: false,
      isRotated: false,
    };
    this.calls.push(call);
    this.onCall(call);
    const { promise, resolve } = Promise.withResolvers<GrantAnswer>();
    const finish = (answer: GrantAnswer): void => {
      call.endedAt = this.time.now();
      resolve(answer);
    };
    const cancel = this.time.at(CALL_MS, () => finish(failed('service_timeout', false)));
    const answer = (ms: number, what: GrantAnswer): void => {
      this.time.at(ms, () => {
        cancel();
        finish(what);
      });
    };
    if (this.isProviderDown || this.chance(this.#faults.broken)) answer(5, failed('idp_unavailable', true));
    else if (!this.chance(this.#faults.call)) this.#arrive(call, answer);
    const what = await promise;
    return this.#through(state, 0, 0, () => {
      call.isDelivered = what.kind === 'granted';
      return what;
    });
  }

  #arrive(call: TokenCall, answer: (ms: number, what: GrantAnswer) => void): void {
    this.time.at(this.#random() * 900, () => {
      const reaction = this.#react(call);
      if (!this.chance(this.#faults.answer)) answer(this.#random() * 900, reaction);
    });
  }

  /** Rotation with reuse detection, as RFC 9700 §4.14.2 asks for. */
  #react(call: TokenCall): GrantAnswer {
    if (call.token !== this.current) {
      this.reuses.push(call);
      this.isGrantRevoked = true;
    }
    if (this.isGrantRevoked) return { kind: 'refused' };
    call.isRotated = true;
    this.generation += 1;
    const [accessToken, refreshToken] = [`at-${this.generation}`, this.current];
    const now = this.time.now();
    const { principal } = hotOf();
    const tokens = { accessToken, tokenType: 'bearer', tokenIssuedAt: now, tokenExpiresAt: now + TOKEN_MS };
    return {
      kind: 'granted',
      refreshToken,
      read: async () => ({ ...tokens, scopes: [], principal, acr: undefined, idToken: undefined }),
    };
  }

  /** Let a process stand still until then. */
  pause(index: number, until: number): void {
    this.processes[index]!.state.pausedUntil = until;
    this.#pauses.push({ index, from: this.time.now(), until });
  }

  /** The process stood still at some time between the call and the end of its lease. */
  wasPaused(index: number, { startedAt }: TokenCall): boolean {
    const end = startedAt + CALL_MS + LIMITS.leaseSlackMs;
    return this.#pauses.some((pause) => pause.index === index && pause.from < end && pause.until > startedAt);
  }

  /** The caller may not have been able to store what it got. */
  wasHarmed(call: TokenCall): boolean {
    return this.processes[call.process]!.state.killed || this.wasPaused(call.process, call);
  }

  /** The tokens in the store; undefined = the session is over. */
  async stored(): Promise<{ readonly accessToken: string; readonly refreshToken: string | undefined } | undefined> {
    const record = await createRefreshRecords({
      store: this.store,
      ring: RING,
      clock: this.time,
      timers: { schedule: () => () => {} },
      isClosing: () => true,
    }).read(this.handle, locatorOf(this.handle));
    return record && { accessToken: record.hot.accessToken, refreshToken: record.cold.refreshToken };
  }

  /** One request at a process, as verify makes it: the session it may go on with, and how. */
  async ask(process: Process): Promise<{ readonly kind: string; readonly session: Session | undefined }> {
    const session = await process.sessions.find(this.handle, true);
    if (session === undefined) return { kind: 'none', session };
    if (process.refresh.isFresh(this.handle, session)) return { kind: 'fresh', session };
    const renewal = await process.refresh.renew(this.handle, session);
    return { kind: renewal.kind, session: renewal.kind === 'ended' ? undefined : renewal.session };
  }
}

function failed(code: 'service_timeout' | 'idp_unavailable', mayRepeat: boolean): GrantAnswer {
  return { kind: 'failed', error: new SallyportError(code, { detail: 'model' }), mayRepeat };
}
