import { runCheck } from './cli/check.ts';
import type { CliIo } from './cli/io.ts';
import { runKeygen } from './cli/keygen.ts';
import { runServe } from './cli/serve.ts';

const USAGE = `Usage: sallyport <command> [options]

  serve   [--config DIR]            run the server (default ./config)
  check   [--config DIR]            validate the configuration and exit (78 on problems)
  keygen                            print a fresh seal key
  demo    [--port N] [--redis URL] [--no-traefik] [--json]
                                    everything at once on loopback, to try in a browser
  help                              this text
`;

/**
 * The command line: picks a command and sets the exit code (0 done, 1 failed, 2 usage, 78 configuration).
 * @param argv arguments after the program's name.
 */
export async function main(argv: readonly string[]): Promise<void> {
  const io: CliIo = {
    stdout: (text) => process.stdout.write(text),
    stderr: (text) => process.stderr.write(text),
    environment: process.env,
  };
  const code = await run(argv, io);
  // A second signal ends the wait for the drain: what is still open must not keep the process.
  if (argv[0] === 'serve' || argv[0] === 'worker') process.exit(code);
  process.exitCode = code;
}

async function run(argv: readonly string[], io: CliIo): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'serve':
      return runServe(rest, io);
    case 'worker':
      return runAsWorker(io);
    case 'check':
      return runCheck(rest, io);
    case 'keygen':
      return runKeygen(rest, io);
    case 'demo': {
      const demo = await loadDemo();
      if (demo !== undefined) {
        return demo.runDemo(rest, { stdout: process.stdout, stderr: process.stderr, environment: process.env });
      }
      io.stderr('sallyport: the demo runs in a checkout with its packages for development: npm run demo\n');
      return 2;
    }
    case 'help':
    case '--help':
    case '-h':
      io.stdout(USAGE);
      return 0;
    default:
      io.stderr(command === undefined ? USAGE : `sallyport: unknown command ${JSON.stringify(command)}\n\n${USAGE}`);
      return 2;
  }
}

/** Undefined where there is no demo: it is not part of the built package, and needs packages for development. */
async function loadDemo(): Promise<typeof import('./cli/demo/demo.ts') | undefined> {
  try {
    return await import('./cli/demo/demo.ts');
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Only a supervisor starts this: there is a channel to it. */
async function runAsWorker(io: CliIo): Promise<number> {
  if (process.send === undefined) {
    io.stderr('sallyport: worker is started by serve, not by hand\n');
    return 2;
  }
  const { runWorker } = await import('./worker.ts');
  return runWorker(io.environment, (message) => {
    // The supervisor may be gone already; then there is nobody to tell.
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  });
}
