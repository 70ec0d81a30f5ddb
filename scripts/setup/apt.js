/** Installs Debian packages, when this machine has apt-get and we may use it. */

import { readdirSync } from 'node:fs';
import { findOnPath } from '../parts.js';
import { runInstaller, say } from './run.js';

const APT_TIMEOUT_MS = 20 * 60_000;
const APT_LISTS = '/var/lib/apt/lists';
/** Wait for another apt, but not for ever; do not hang on a mirror that does not answer. */
const APT_OPTIONS = ['-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::http::Timeout=30', '-o', 'Acquire::Retries=2'];

/**
 * Installs `packages`; asks for new package lists only when there are none or when they prove too old.
 *
 * @returns {Promise<string | undefined>} why they could not be installed, with what to do
 */
export async function installDebianPackages(packages) {
  const byHand = `apt-get install -y --no-install-recommends ${packages.join(' ')}`;
  if (findOnPath(['apt-get']) === undefined) {
    return `this system has no apt-get; install ${packages.join(', ')} with its package manager`;
  }
  if (process.getuid?.() !== 0) return `only root may install Debian packages; run: sudo ${byHand}`;
  say(`Debian packages: installing ${packages.join(', ')} with apt-get`);
  const fresh = hasPackageLists() ? undefined : await updateLists();
  if (fresh !== undefined) return fresh;
  const first = await install(packages);
  if (first === undefined) return undefined;
  say('Debian packages: trying again with new package lists');
  const problem = (await updateLists()) ?? (await install(packages));
  return problem === undefined ? undefined : `${problem}. Check the network, then run: apt-get update && ${byHand}`;
}

function updateLists() {
  return runApt('apt-get update', ['update']);
}

function install(packages) {
  return runApt('apt-get install', ['install', '-y', '--no-install-recommends', ...packages]);
}

function runApt(label, args) {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  return runInstaller('apt-get', [...APT_OPTIONS, ...args], { label, timeoutMs: APT_TIMEOUT_MS, env });
}

function hasPackageLists() {
  try {
    return readdirSync(APT_LISTS).some((name) => name.includes('_Packages'));
  } catch {
    return false;
  }
}
