import type { AttackCase } from './cases.ts';
import type { Instance } from './instance.ts';
import type { PeerPlay } from './peers.ts';
import { type Exchange, requestBytes } from './raw-client.ts';
import type { HeaderLine } from './sign-in.ts';

/** A case of forwarded_headers with live handles in its headers and its peer played on loopback. */
export type ForwardedCase = {
  readonly attack: AttackCase;
  readonly endpoint: string;
  readonly method: string;
  readonly headers: readonly HeaderLine[];
  /** A live session is presented. */
  readonly withSession: boolean;
  readonly expect: Readonly<Record<string, unknown>>;
  readonly instance: Instance;
  readonly peer: PeerPlay;
  /** Address as the case names it -> loopback address that plays it. */
  readonly peerName: string;
  readonly frame: Buffer;
};

/** Send the case's request with other header lines. */
export function send(run: ForwardedCase, headers: readonly HeaderLine[]): Promise<Exchange> {
  const bytes = Buffer.concat([run.frame, requestBytes(run.method, run.endpoint, headers)]);
  return run.instance.send(bytes, run.peer.localAddress, { method: run.method });
}
