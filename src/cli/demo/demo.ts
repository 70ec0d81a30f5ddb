import { DEMO_HELP, DEMO_PORTS_COUNT, type DemoOptions, parseDemoArguments } from './demo-options.ts';
import { type RunningDemo, startDemo } from './demo-start.ts';
import { PortTakenError } from './http-server.ts';
import { DEMO_USERS } from './provider.ts';

/** Where the command writes, and what it reads besides its arguments. */
export type DemoIo = {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly environment: NodeJS.ProcessEnv;
  /** Resolves when the demo is to stop. Default: SIGINT, SIGTERM or SIGHUP. */
  readonly stopped?: Promise<void>;
};

const CLOSE_DEADLINE_MS = 15_000;

/**
 * `sallyport demo`: runs until told to stop, then ends every part and removes every folder. Resolves to the exit
 * code: 0 after a clean end, 1 when a part cannot start or does not end, 2 for arguments it does not understand.
 */
export async function runDemo(argv: readonly string[], io: DemoIo): Promise<number> {
  const command = parseDemoArguments(argv, io.environment);
  if (command.kind === 'help') {
    io.stdout.write(DEMO_HELP);
    return 0;
  }
  if (command.kind === 'refuse') {
    io.stderr.write(`sallyport demo: ${command.reason}\nTry "sallyport demo --help".\n`);
    return 2;
  }
  return run(command.options, io);
}

async function run(options: DemoOptions, io: DemoIo): Promise<number> {
  // Listened to from before the first part starts until the last has ended, so that no signal cuts the cleaning up.
  const signals = listenToSignals();
  try {
    const demo = await startDemo(options, io.stderr, io.environment);
    io.stdout.write(options.json ? `${JSON.stringify(demo.info)}\n` : describeDemo(demo, options));
    await (io.stopped ?? signals.received);
    if (!options.json) {
      io.stdout.write('\nStopping…\n');
    }
    return await closeInTime(demo, io);
  } catch (error) {
    io.stderr.write(`sallyport demo: ${describeFailure(error, options)}\n`);
    return 1;
  } finally {
    signals.forget();
  }
}

function listenToSignals(): { received: Promise<void>; forget(): void } {
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const { promise, resolve } = Promise.withResolvers<void>();
  const stop = (): void => resolve();
  for (const name of names) {
    process.on(name, stop);
  }
  return {
    received: promise,
    forget: () => {
      for (const name of names) {
        process.off(name, stop);
      }
    },
  };
}

async function closeInTime(demo: RunningDemo, io: DemoIo): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const timer = setTimeout(() => resolve(1), CLOSE_DEADLINE_MS);
  const code = await Promise.race([demo.close().then(() => 0), promise]);
  clearTimeout(timer);
  if (code !== 0) {
    io.stderr.write(`sallyport demo: a part did not end within ${CLOSE_DEADLINE_MS / 1000} s\n`);
  }
  return code;
}

function describeFailure(error: unknown, options: DemoOptions): string {
  if (error instanceof PortTakenError) {
    const last = options.port + DEMO_PORTS_COUNT - 1;
    return `${error.message}. The demo needs ports ${options.port} to ${last}; choose another base port with --port N.`;
  }
  return error instanceof Error ? error.message : 'a part failed to start';
}

function describeDemo({ info, traefikMissing }: RunningDemo, options: DemoOptions): string {
  const users = DEMO_USERS.map((user) => `${user.username} / ${user.password} (role ${user.roles.join(', ')})`);
  const front = info.traefik_url === null ? 'Sallyport itself' : 'Traefik, with ForwardAuth';
  const missing = traefikMissing
    ? '\n  Traefik was not found (set SALLYPORT_TRAEFIK to its program), so Sallyport stands alone.\n'
    : '';
  return `
  Sallyport demo is ready

  Open       ${info.url}
  Sign in    ${users.join('  or  ')}
${missing}
  Then click
    "Sign in", and "Allow" at the identity provider
    "GET /api/whoami" to see what the API got: a token, where the browser sent only a cookie
    "Dashboard" for a page that knows you by the headers of ForwardAuth
    "Sign out", or "Sign out everywhere" with a second browser signed in

  Front      ${front}
  Provider   ${info.issuer}
  Verify     ${info.verify_url}
  Admin      ${info.admin_url}/metrics
  Sessions   ${options.redisUrl === undefined ? 'in memory' : 'in Redis'}

  Stop with Ctrl-C. Nothing is kept.
`;
}
