// A server in a process of its own, with --expose-gc: `node serve-child.ts CONFIG_DIRECTORY`, spoken to over IPC.
import { readdirSync, readlinkSync } from 'node:fs';
import { Writable } from 'node:stream';
import { startServer } from '../../src/cli/serve.ts';
import { loadConfig } from '../../src/core/config/load.ts';
import { createLog } from '../../src/core/log.ts';
import type { Measurement } from './child-server.ts';

const problems: string[] = [];
process.on('unhandledRejection', (reason) => problems.push(`unhandled rejection: ${String(reason)}`));

const sink = new Writable({
  write(chunk: Buffer, _encoding, done) {
    for (const line of chunk.toString('utf8').split('\n')) {
      if (line.includes('"level":"error"') || line.includes('"level":"fatal"')) problems.push(line);
    }
    done();
  },
});

const config = loadConfig({ directory: process.argv[2] ?? '', environment: {} });
const { publicPort, adminPort, close } = await startServer({ config, log: createLog(config.log, sink) });

function measure(): Measurement {
  // Twice: what the first collection finalises goes with the second.
  globalThis.gc?.();
  globalThis.gc?.();
  return { heapUsedBytes: process.memoryUsage().heapUsed, sockets: countSockets(), problems: problems.splice(0) };
}

function countSockets(): number {
  return readdirSync('/proc/self/fd').filter((name) => {
    try {
      return readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:');
    } catch {
      // The descriptor of the directory listing itself is closed by now.
      return false;
    }
  }).length;
}

process.on('message', (message) => {
  if (message === 'measure') process.send?.(measure());
  if (message === 'stop') void close().then(() => process.exit(0));
});
process.on('disconnect', () => process.exit(1));
process.send?.({ publicPort, adminPort });
