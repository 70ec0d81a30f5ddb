/** @fastify/http-proxy as it comes: `node proxy-fastify.ts PORT SERVICE_PORT`. */
import proxy from '@fastify/http-proxy';
import { fastify } from 'fastify';

const app = fastify();
await app.register(proxy, { upstream: `http://127.0.0.1:${process.argv[3]}` });
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
