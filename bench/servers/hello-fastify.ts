/** fastify and nothing else: `node hello-fastify.ts PORT`. */
import { fastify } from 'fastify';

const app = fastify();
app.get('/*', (_request, reply) => reply.send('ok'));
await app.listen({ host: '127.0.0.1', port: Number(process.argv[2]) });
