/** Entries of a lock file by path, as far as they are compared. */
export type LockedPackages = Readonly<
  Record<string, { readonly version?: string; readonly integrity?: string; readonly [flag: string]: unknown }>
>;

/** Compares the lock file with what npm recorded as installed; returns the first difference in words. */
export function findStaleness(
  lock: LockedPackages,
  installed: LockedPackages | undefined,
  withDev: boolean,
): string | undefined;
