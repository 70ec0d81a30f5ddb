/** http-proxy-middleware on Express as they come: `node proxy-express.ts PORT SERVICE_PORT`. */
import { Agent, type Server } from 'node:http';
import { createRequire } from 'node:module';

// Express brings no types; two calls need none.
type ExpressApp = { use(handler: unknown): void; listen(port: number, host: string): Server };
const require = createRequire(import.meta.url);
const express = require('express') as () => ExpressApp;
const { createProxyMiddleware } = require('http-proxy-middleware') as {
  createProxyMiddleware(options: { target: string; agent: Agent }): unknown;
};

const app = express();
// Without an agent that keeps connections it would open one for each request.
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
app.use(createProxyMiddleware({ target: `http://127.0.0.1:${process.argv[3]}`, agent }));
app.listen(Number(process.argv[2]), '127.0.0.1');
