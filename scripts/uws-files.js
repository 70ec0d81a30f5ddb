/**
 * What relinking and hardening of the installed uWebSockets.js share: the digests of its Linux binaries in every state
 * they may be in, and how such a file is changed.
 *
 * Only a file listed here by name and SHA-256 is ever touched, and only if the result has the SHA-256 listed for it; it
 * is replaced in one step. Plain JavaScript without dependencies, for any Node from 18 on.
 */

import { createHash } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/**
 * The Linux binaries of @btc-vision/uwebsockets.js 20.57.0, with their SHA-256 as published, relinked, hardened, and
 * both; `earlier` are the last two as they were with fewer corrections. Hardening is for x86-64 alone. The two steps
 * change different bytes, so their order does not matter.
 */
export const UWS_FILES = [
  {
    name: 'uws_linux_x64_115.node',
    published: '5b126ee00bf754b02e97e4c27090365a8562c5820c93f93918ac2212d4503e91',
    relinked: 'd1156432c696075e653325e7d7a784796db200923221e1e4a36293d15d724e32',
    hardened: 'f76e5caeb03a9887ce323e8336f9a1f631bd81a8d109cf855bb3d48051a11176',
    both: 'd28808f44c8a89cd40ed145a0b3059f73dabdcbe66f4af4085ad3d5ca81fb686',
    earlier: [
      'acf00b9eac9338fa6e29dd914432ed66550520fbdb283b53d417803e124ca9fd',
      'fda358c4746b36007848bf50a5385f9061ac124bdf10b766ce25f144b175872b',
    ],
  },
  {
    name: 'uws_linux_x64_127.node',
    published: '4b55b1f2cb7a7913febbb65a89496412b96af77e838552980092ba6b33723aac',
    relinked: 'f1608f301188933e79a50cf7d219a30ee83814aaba5e400e37c10eb9be7958db',
    hardened: 'ff60650ee00c2e4132ebc1165385b289af744d708d44c8f4c07cb4fa0b9f26db',
    both: 'f3882c04e916b1b075b5c61878dbd5fcc40543604a400828f7ab373b1cfa8e04',
    earlier: [
      '51bd2aeb77acd3e595797555a935353b4d31942e3b344bb0c2841fe6bb00374b',
      '24a3d69058a8939eab197db0823cd34fbd0a23540e714ca91c70eb7198b73af3',
    ],
  },
  {
    name: 'uws_linux_x64_137.node',
    published: '98128405dba2fb608448e921a979530f70c946a2cc9889c15f2fa70c2d00ab05',
    relinked: '337e7312c83b0df8accbe2446055c1e663ef14824712a055dfb8c34852cd8d69',
    hardened: '01b3acb671d08d5e27f61219410b867ceb4e8860e00c29e7da1fea5f415a3599',
    both: '5bcea4a0af84c5691c7b57c5df8bbf218267b470661934cdd989a6045bfb8a50',
    earlier: [
      '38ac8fcf311e162bbee64c5ca84f13646fdea2ba65feb4f538c69685e4b7a185',
      '402d407135705c89f349170d3fc8b26586baa13f72af7de7172a6215dbac2f69',
    ],
  },
  {
    name: 'uws_linux_x64_141.node',
    published: '813d788b347c6fd76b779d8932311ec05a044e612b4b83af220f16e6ea789683',
    relinked: '66513ca63ef5fe6c0534f58cee955fcb272d49194dda12a806c2c1ccfb9b636d',
    hardened: '9129ed8f8b589e7a8ca7fbaed1dc815098e0f094fd8833444327e59de47f3051',
    both: 'a967dfc72b62c649551984e1d796cf9bd052bec573d526036fe9c91ae531b34e',
    earlier: [
      'de265cd5ae3bab208c0767d3618e109cf0da8f8794d6456e799bfb9be03342ce',
      '4beeb60ee548d9852d6363f2671f7f815a1568b908dd1aa526616c97c440ce0a',
    ],
  },
  {
    name: 'uws_linux_arm64_115.node',
    published: '6bdbc8ff976b4371af1906175e9025804bacc38a414969f4f02314e6b99f206c',
    relinked: 'c2d1ed56dd649fa070edc7f40ab7f001220b779a25ccf74b4668956815add011',
  },
  {
    name: 'uws_linux_arm64_127.node',
    published: '82b79bd18d1e3563de336156005bd01b7f39fc387b65173d69a29da4ee79f895',
    relinked: '2c554a4acaef582e6cff58bbe9d555749d492153167e06c38721e39fd4f467ae',
  },
  {
    name: 'uws_linux_arm64_137.node',
    published: '88618b30ddf6b2b62310db89f40a701616676352aac5e0f6184dd8ef876199ce',
    relinked: 'c52f98e37763f821adfd7a24445de06c5941db0bb99b92fd2ac06d5f65cd50f8',
  },
  {
    name: 'uws_linux_arm64_141.node',
    published: '81d0186dd1549ed6a7f47e68e323573fc27d69d2920527654ce2dd993af2b0ec',
    relinked: 'ca84857b2027db75652dfed569fdac54439f5ba932e91de17ad04f895ec631e0',
  },
];

/**
 * Changes the binaries of `folder` that are for Linux on `arch`, each from a listed state to the one that follows.
 *
 * @param {string} folder the installed uWebSockets.js package
 * @param {string} arch `x64` or `arm64`, as in `process.arch`
 * @param {readonly (readonly string[])[]} steps rows of file name, SHA-256 before, SHA-256 after
 * @param {(input: Buffer) => Buffer} transform
 * @returns {{changed: string[], already: string[], unknown: string[]}} file names by what became of them
 * @throws {Error} when a file cannot be read or written, or becomes something unexpected; that file is then unchanged
 */
export function updateFiles(folder, arch, steps, transform) {
  const prefix = `uws_linux_${arch}_`;
  const names = readdirSync(folder).filter((name) => name.startsWith(prefix) && name.endsWith('.node'));
  const done = { changed: [], already: [], unknown: [] };
  for (const name of names.sort()) {
    const own = steps.filter(([known]) => known === name);
    done[updateFile(join(folder, name), own, transform)].push(name);
  }
  return done;
}

function updateFile(path, steps, transform) {
  const input = readFileSync(path);
  const digest = sha256(input);
  if (steps.some(([, , after]) => after === digest)) return 'already';
  const step = steps.find(([, before]) => before === digest);
  if (step === undefined) return 'unknown';
  const output = transform(input);
  const [name, , expected] = step;
  const actual = sha256(output);
  if (actual !== expected) throw new Error(`${name} becomes SHA-256 ${actual}, expected ${expected}`);
  replaceFile(path, output);
  return 'changed';
}

/** A process that loads the file meanwhile sees the old bytes or the new ones, never a mixture. */
function replaceFile(path, bytes) {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    writeFileSync(temporary, bytes, { flag: 'wx' });
    chmodSync(temporary, statSync(path).mode);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Says what this machine is, as far as relinking and hardening care.
 *
 * @returns {{platform: string, arch: string, glibc: string | undefined}}
 */
export function readSystem() {
  // Without this the report resolves the names of open sockets, which can take seconds.
  process.report.excludeNetwork = true;
  const { glibcVersionRuntime } = process.report.getReport().header;
  return { platform: process.platform, arch: process.arch, glibc: glibcVersionRuntime };
}

/**
 * Finds the installed uWebSockets.js package as seen from this file.
 *
 * @returns {string} its folder
 * @throws {Error} when it is not installed
 */
export function findPackageFolder() {
  return dirname(createRequire(import.meta.url).resolve('uWebSockets.js'));
}
