/**
 * Packages whose entry loads everything they have, and what of it the program uses: the rest would cost time and memory
 * at each start. A name that is imported somewhere and missing here fails the build.
 */
export const SUBSETS: Readonly<Record<string, string>> = {
  iovalkey: `
    export { default as Redis } from 'iovalkey/built/Redis.js';
    import errors from 'redis-errors';
    export const ReplyError = errors.ReplyError;`,
  'prom-client': `
    export { default as Registry } from 'prom-client/lib/registry.js';
    export { default as AggregatorRegistry } from 'prom-client/lib/cluster.js';
    export { default as Counter } from 'prom-client/lib/counter.js';
    export { default as Gauge } from 'prom-client/lib/gauge.js';
    export { default as Histogram } from 'prom-client/lib/histogram.js';`,
  'rate-limiter-flexible': `
    export { default as RateLimiterMemory } from 'rate-limiter-flexible/lib/RateLimiterMemory.js';
    export { default as RateLimiterRedis } from 'rate-limiter-flexible/lib/RateLimiterRedis.js';
    export { default as RateLimiterRes } from 'rate-limiter-flexible/lib/RateLimiterRes.js';`,
  undici: `export { default as Agent } from 'undici/lib/dispatcher/agent.js';`,
  ws: `export { default as WebSocket } from 'ws/lib/websocket.js';`,
};

/** Node's own of these bring a second undici into memory. */
export const GLOBALS = `
  import headers from 'undici/lib/web/fetch/headers.js';
  import response from 'undici/lib/web/fetch/response.js';
  export const Headers = headers.Headers;
  export const Response = response.Response;`;

/** Modules that are left out, by how they are imported, and what is there instead. */
export const ABSENT: readonly (readonly [RegExp, string])[] = [
  [
    /^\.\/cli\/demo\/demo\.ts$/,
    `throw Object.assign(new Error('the package has no demo'), { code: 'ERR_MODULE_NOT_FOUND' });`,
  ],
  // src/core/outbound.ts asks for HTTP/1.1, and node:http2 is a twentieth of a start.
  [/^\.\/client-h2\.js$/, `module.exports = () => { throw new Error('providers are asked by HTTP/1.1'); };`],
];
