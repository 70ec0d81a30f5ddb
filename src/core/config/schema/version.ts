import * as z from 'zod';
import { keyInfo } from './scalars.ts';

/** The version of the file format; every file begins with it. */
export const version = z
  .literal(1, {
    error: (issue) =>
      `${issue.input === undefined ? 'is missing' : '{value} is not a known version'}, expected 1, write "version: 1"`,
  })
  .register(keyInfo, { meaning: 'Version of the file format', expected: '1', type: '`1`' });
