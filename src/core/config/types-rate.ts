/** How often something may happen: `burst` times at once, `average` times in `periodMs` in the long run. */
export type RateLimit = { readonly average: number; readonly periodMs: number; readonly burst: number };

/** The same for each client address, session or user. */
export type KeyedRateLimit = RateLimit & { readonly key: 'client_ip' | 'session' | 'user' };
