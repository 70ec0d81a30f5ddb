import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';

/**
 * How the proxy treats what passes: `pass` carries it; `cut` ends all connections and each new one; `drop` keeps
 * connections open and throws every byte away, also after a return to `pass`; `hold` keeps the answers back until
 * `pass`.
 */
export type FaultMode = 'pass' | 'cut' | 'drop' | 'hold';

/** A TCP proxy on loopback that breaks when told to. */
export type TcpFaultProxy = {
  readonly port: number;
  /** Connections that were accepted so far. */
  readonly accepted: () => number;
  /** Connections that are open now. */
  readonly open: () => number;
  setMode(mode: FaultMode): void;
  /** Where new connections go. */
  setTarget(port: number): void;
  close(): Promise<void>;
};

type Pair = { readonly client: Socket; readonly server: Socket; isLost: boolean; isSpared: boolean };

/**
 * Start a proxy in front of `targetPort` of 127.0.0.1.
 *
 * @param only faults concern those connections alone whose client has sent this text
 */
export async function startTcpFaultProxy(targetPort: number, only?: string): Promise<TcpFaultProxy> {
  const pairs = new Set<Pair>();
  let mode: FaultMode = 'pass';
  let target = targetPort;
  let accepted = 0;
  const listener = createServer((client) => {
    accepted += 1;
    if (mode === 'cut' && only === undefined) {
      client.on('error', () => {});
      client.destroy();
      return;
    }
    const pair: Pair = { client, server: connectTcp(target, '127.0.0.1'), isLost: false, isSpared: only !== undefined };
    pairs.add(pair);
    client.on('data', (bytes) => {
      if (!pair.isSpared || !bytes.includes(only!)) return;
      pair.isSpared = false;
      apply(pair);
    });
    join(pair, () => pairs.delete(pair));
    apply(pair);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const apply = (pair: Pair): void => {
    if (pair.isSpared) return;
    if (mode === 'cut') pair.client.destroy();
    if (mode === 'drop') pair.isLost = true;
    if (mode === 'hold') pair.server.pause();
    else pair.server.resume();
  };
  const setMode = (next: FaultMode) => {
    mode = next;
    for (const pair of pairs) apply(pair);
  };
  return {
    port: (listener.address() as { port: number }).port,
    accepted: () => accepted,
    open: () => pairs.size,
    setMode,
    setTarget: (port) => {
      target = port;
    },
    close: async () => {
      for (const { client } of pairs) client.destroy();
      listener.close();
      await once(listener, 'close');
    },
  };
}

function join(pair: Pair, onClosed: () => void): void {
  const { client, server } = pair;
  client.setNoDelay(true).on('data', (bytes) => {
    if (!pair.isLost) server.write(bytes);
  });
  server.setNoDelay(true).on('data', (bytes) => {
    if (!pair.isLost) client.write(bytes);
  });
  for (const [one, other] of [
    [client, server],
    [server, client],
  ] as const) {
    one.on('error', () => {});
    one.on('close', () => {
      other.destroy();
      onClosed();
    });
  }
}
