import { randomToken } from '../core/crypto.ts';
import { type CliIo, EXIT } from './io.ts';

const USAGE = `usage: sallyport keygen

Prints a new seal key as a line for the environment.
`;

const ADVICE = `# Keep this line secret: give it to every process of this service, as an environment variable or from a file.
# To change the key later, list the new one first under keys.seal of settings.yaml and keep the old one behind it until
# the longest session (session.absolute) has ended; each key has its own id.
`;

/**
 * `sallyport keygen`: print a fresh 256-bit seal key (D-27) on standard output and what to do with it on standard
 * error, so that the output alone can be appended to a file.
 * @returns the exit code: 0 or 2 (usage).
 */
export async function runKeygen(argv: readonly string[], io: CliIo): Promise<number> {
  const help = argv.length === 1 && argv[0] === '--help';
  if (argv.length > 0 && !help) {
    io.stderr(USAGE);
    return EXIT.usage;
  }
  if (help) {
    io.stdout(USAGE);
    return EXIT.ok;
  }
  io.stdout(`SALLYPORT_SEAL_KEY=${randomToken(32)}\n`);
  io.stderr(ADVICE);
  return EXIT.ok;
}
