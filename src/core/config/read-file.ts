import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** A file's bytes, or in a few words why there are none. */
export type FileResult =
  | { readonly bytes: Buffer; readonly problem?: undefined; readonly absent?: undefined }
  | { readonly bytes?: undefined; readonly problem: string; readonly absent: boolean };

/** Reads a whole file of at most `maxBytes`; never throws. */
export type ReadFile = (path: string, maxBytes: number) => FileResult;

/** Read a regular file synchronously, at most `maxBytes` of it; anything else is a problem in words, never a throw. */
export function readFileBounded(path: string, maxBytes: number): FileResult {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, 'r');
    if (!fstatSync(descriptor).isFile()) return { problem: 'is not a regular file', absent: false };
    const bytes = readUpTo(descriptor, maxBytes + 1);
    return bytes.length > maxBytes ? { problem: `is larger than ${maxBytes} bytes`, absent: false } : { bytes };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    const absent = code === 'ENOENT' || code === 'ENOTDIR';
    return { problem: absent ? 'does not exist' : `cannot be read (${code})`, absent };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function readUpTo(descriptor: number, maxBytes: number): Buffer {
  const buffer = Buffer.alloc(Math.min(maxBytes, fstatSync(descriptor).size + 1));
  let length = 0;
  while (length < buffer.length) {
    const read = readSync(descriptor, buffer, length, buffer.length - length, null);
    if (read === 0) break;
    length += read;
  }
  return buffer.subarray(0, length);
}
