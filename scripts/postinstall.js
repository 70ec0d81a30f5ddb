/** Runs after every `npm ci` and `npm install` of this package: makes the native core loadable, and says how. */

import { findPackageFolder, readSystem, relinkFolder } from './relink-uws.js';

console.log(`uWebSockets.js: ${relinkFolder(findPackageFolder(), readSystem())}`);
