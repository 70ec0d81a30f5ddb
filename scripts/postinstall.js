/** Runs after every `npm ci` and `npm install` of this package: makes the native core loadable and safe, and says how. */

import { hardenFolder } from './harden-uws.js';
import { relinkFolder } from './relink-uws.js';
import { findPackageFolder, readSystem } from './uws-files.js';

const folder = findPackageFolder();
const system = readSystem();
for (const step of [relinkFolder, hardenFolder]) console.log(`uWebSockets.js: ${step(folder, system)}`);
