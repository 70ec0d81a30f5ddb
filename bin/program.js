/** Loads the built program: one script, with what V8 compiled of it when it was installed. For Node 24 and newer. */

const { readFileSync } = require('node:fs');
const { createRequire } = require('node:module');
const { join } = require('node:path');
const { pathToFileURL } = require('node:url');
const { Script } = require('node:vm');
const { crc32 } = require('node:zlib');

const PROGRAM = join(__dirname, '../dist/main.js');
/** A CRC-32 of the program, then what V8 gave: V8 itself would take it for any program of the same length. */
const COMPILED = `${PROGRAM}.compiled`;
const CRC_BYTES = 4;

/**
 * Load it and run its modules.
 *
 * @returns {{ main: (argv: readonly string[]) => Promise<void>, isCompiled: boolean, compiled: () => Buffer }} the command
 * line, whether V8 took what was compiled before, and what is compiled by now, the content of `COMPILED`
 */
function loadProgram() {
  const bytes = readFileSync(PROGRAM);
  const crc = crc32(bytes);
  const cachedData = readCompiled(crc);
  const script = new Script(bytes.latin1Slice(), { filename: PROGRAM, cachedData });
  // Now, and not whenever garbage is collected: together they are five megabytes. Small files are read into a common pool.
  for (const read of [bytes, cachedData]) if (read?.buffer.byteLength > Buffer.poolSize) read.buffer.transfer(0);
  const module = { exports: {} };
  script.runInThisContext()(createRequire(PROGRAM), module, pathToFileURL(PROGRAM).href);
  return {
    main: module.exports.main,
    isCompiled: script.cachedDataRejected === false,
    compiled: () => writeCrc(crc, script.createCachedData()),
  };
}

/** Undefined if it was never made, or for another program. V8 refuses what another version made, and compiles anew. */
function readCompiled(crc) {
  let bytes;
  try {
    bytes = readFileSync(COMPILED);
  } catch {
    return undefined;
  }
  return bytes.length > CRC_BYTES && bytes.readUInt32LE(0) === crc ? bytes.subarray(CRC_BYTES) : undefined;
}

function writeCrc(crc, data) {
  const head = Buffer.alloc(CRC_BYTES);
  head.writeUInt32LE(crc);
  return Buffer.concat([head, data]);
}

module.exports = { loadProgram, COMPILED };
