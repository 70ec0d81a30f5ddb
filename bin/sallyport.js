#!/usr/bin/env node
/**
 * Starts Sallyport: from `src` in a checkout, from `dist` in an installed package.
 * On a Node older than 24 it hands over to the pinned one in node_modules, if that is there.
 */

const { existsSync } = require('node:fs');
const { constants } = require('node:os');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');

const NODE_MAJOR_MIN = 24;
const EX_CONFIG = 78;

async function run() {
  const source = join(__dirname, '../src/main.ts');
  const { main } = existsSync(source)
    ? await import(pathToFileURL(source).href)
    : require('./program.js').loadProgram();
  await main(process.argv.slice(2));
}

/** The child gets the signals and this process ends as it did, so that supervisors see one program. */
function handOver(node) {
  const { spawn } = require('node:child_process');
  const child = spawn(node, [__filename, ...process.argv.slice(2)], { stdio: 'inherit' });
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
  void run();
} else {
  const pinned = join(__dirname, '../node_modules/node/bin/node');
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
