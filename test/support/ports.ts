import { createServer, type Server } from 'node:net';

/**
 * Finds the first of `count` consecutive TCP ports on loopback that are all free now. They are let go before this
 * returns, so use them at once. Errors: when no such run is found in 50 attempts.
 */
export async function findFreePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const held = [await hold(0)];
    const first = portOf(held[0]);
    for (let offset = 1; offset < count && held.at(-1) !== undefined; offset++) {
      held.push(first + offset < 65_536 ? await hold(first + offset) : undefined);
    }
    const complete = held.every((server) => server !== undefined);
    await Promise.all(held.map(release));
    if (complete) {
      return first;
    }
  }
  throw new Error(`no ${count} consecutive free ports found`);
}

function hold(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

function portOf(server: Server | undefined): number {
  const address = server?.address();
  return typeof address === 'object' && address !== null ? address.port : 65_536;
}

function release(server: Server | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (server === undefined) {
      resolve();
    } else {
      server.close(() => resolve());
    }
  });
}
