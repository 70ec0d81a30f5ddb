/** Runs installers as child processes: bounded in time, with a sign of life, quiet unless they fail. */

import { spawn } from 'node:child_process';

const HEARTBEAT_MS = 15_000;
const SHOWN_LINES = 8;
const OUTPUT_MAX_CHARS = 65_536;

/** Prints one line of the set-up. */
export function say(line) {
  console.error(`setup: ${line}`);
}

/**
 * Runs `command` and waits for its end. A line says every 15 s that it is still working; of what it
 * printed, the lines that match `echo` are shown when it succeeded; on failure its first and last lines are printed.
 *
 * @param {{label: string, timeoutMs: number, echo?: RegExp, env?: Record<string, string | undefined>, cwd?: string}} options
 * @returns {Promise<string | undefined>} undefined when it succeeded, otherwise why not, in a few words
 */
export async function runInstaller(command, args, options) {
  const startedMs = Date.now();
  const seconds = () => Math.round((Date.now() - startedMs) / 1000);
  const env = { ...process.env, ...options.env };
  const child = spawn(command, args, { cwd: options.cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (chunk) => {
    output = (output + chunk).slice(-OUTPUT_MAX_CHARS);
  };
  child.stdout.setEncoding('utf8').on('data', collect);
  child.stderr.setEncoding('utf8').on('data', collect);
  const heartbeat = setInterval(() => say(`${options.label}: still working (${seconds()} s)`), HEARTBEAT_MS);
  const problem = await waitForEnd(child, options.timeoutMs);
  clearInterval(heartbeat);
  if (problem === undefined) {
    say(`${options.label}: done in ${seconds()} s`);
    for (const line of output.split('\n')) if (options.echo?.test(line)) say(line);
    return undefined;
  }
  for (const line of shorten(output.trimEnd().split('\n'))) say(`  | ${line}`);
  return `${options.label}: ${problem}`;
}

/** Some tools say what is wrong first and print a manual after it, others the other way round. */
function shorten(lines) {
  if (lines.length <= SHOWN_LINES * 2) return lines;
  return [...lines.slice(0, SHOWN_LINES), '...', ...lines.slice(-SHOWN_LINES)];
}

function waitForEnd(child, timeoutMs) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      resolve(`gave up after ${timeoutMs / 1000} s`);
    }, timeoutMs);
    const finish = (problem) => {
      clearTimeout(timer);
      resolve(problem);
    };
    child.on('error', (error) => finish(`cannot be started (${error.code})`));
    child.on('close', (code, signal) => finish(code === 0 ? undefined : `failed (${signal ?? `exit ${code}`})`));
  });
}
