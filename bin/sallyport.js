#!/usr/bin/env node
/**
 * Starts Sallyport: from `src` in a checkout, from `dist` in an installed package.
 * On a Node older than 24 it hands over to the pinned one in node_modules, if that is there.
 */

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 24;
const EX_CONFIG = 78;

const fromRoot = (path) => new URL(`../${path}`, import.meta.url);

async function run() {
  const source = fromRoot('src/main.ts');
  const isCheckout = existsSync(source);
  // Compiled once instead of at each start. Beside the code, so that nobody else can write there; read-only is fine.
  if (!isCheckout) module.enableCompileCache(fileURLToPath(fromRoot('dist/.compiled')));
  const entry = isCheckout ? source : fromRoot('dist/main.js');
  const { main } = await import(entry.href);
  await main(process.argv.slice(2));
}

/** The child gets the signals and this process ends as it did, so that supervisors see one program. */
function handOver(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
  // A terminal sends Ctrl-C to both; a second one would mean "end at once".
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  child.on('error', (error) => {
    console.error(`sallyport: ${node} cannot be started: ${error.code}`);
    process.exitCode = EX_CONFIG;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

if (Number.parseInt(process.versions.node, 10) >= NODE_MAJOR_MIN) {
  await run();
} else {
  const pinned = fileURLToPath(fromRoot('node_modules/node/bin/node'));
  if (existsSync(pinned)) {
    handOver(pinned);
  } else {
    console.error(
      `sallyport: Node ${NODE_MAJOR_MIN} or newer is needed, this is ${process.version}. ` +
        'Install it, or run "npm ci" in the project folder, which brings it.',
    );
    process.exitCode = EX_CONFIG;
  }
}
