/** One set-up at a time in one project folder. */

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './run.js';

const WAIT_MAX_MS = 30 * 60_000;
const POLL_MS = 500;

/**
 * Waits until no other living process holds the lock of `folder`, takes it, and gives it back when this process exits.
 *
 * @throws {Error} when the other one has not finished after 30 minutes
 */
export async function takeLock(folder) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'setup.lock');
  const deadlineMs = Date.now() + WAIT_MAX_MS;
  for (let waited = false; !tryLock(path); waited = true) {
    const holder = readHolder(path);
    if (holder !== undefined && !isAlive(holder)) {
      rmSync(path, { force: true });
      continue;
    }
    if (!waited) say(`waiting for another set-up of this folder (process ${holder ?? 'unknown'})`);
    if (Date.now() > deadlineMs) throw new Error(`another set-up still holds ${path}`);
    await sleep(POLL_MS);
  }
  process.once('exit', () => rmSync(path, { force: true }));
}

function tryLock(path) {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function readHolder(path) {
  try {
    return Number(readFileSync(path, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
