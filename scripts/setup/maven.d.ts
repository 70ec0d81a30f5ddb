import type { Part } from '../parts.js';

/**
 * Downloads, checks, unpacks and prepares the server of `row` (kind `maven`) unless it is already below `folder`.
 * Resolves to why it could not be had, or undefined.
 */
export function ensureMavenServer(row: Part, folder?: string): Promise<string | undefined>;
