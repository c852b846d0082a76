// A company's backend as rayroom expects it: tRPC v11 on Fastify. Prints {"port": N} once it listens.
//
//   node server.js --key KEY [--port 0] [--host 127.0.0.1] [--transformer plain|superjson] [--no-batching]
//                  [--passages FILE]
//
// FILE holds a JSON list of passages to add to the built-in ones: {"id", "tenantId", "source", "text"}.
// Without --key the key is RAYROOM_BACKEND_KEY. The server ends when its stdin closes, so it never outlives its parent.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fastifyTRPCPlugin } from '@trpc/server/adapters/fastify';
import Fastify from 'fastify';
import { sameKey } from './key.js';
import { buildRouter } from './router.js';
import { Store } from './store.js';

const { values } = parseArgs({
  options: {
    key: { type: 'string', default: process.env.RAYROOM_BACKEND_KEY },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    transformer: { type: 'string', default: 'superjson' },
    'no-batching': { type: 'boolean', default: false },
    passages: { type: 'string' },
  },
});

if (!values.key || !['plain', 'superjson'].includes(values.transformer)) {
  console.error('server.js needs --key (or RAYROOM_BACKEND_KEY), and --transformer plain or superjson');
  process.exit(2);
}

const passages = values.passages ? JSON.parse(readFileSync(values.passages, 'utf8')) : [];
// maxParamLength: a batch repeats its procedure in the path, and Fastify allows 100 characters by default.
const server = Fastify({ routerOptions: { maxParamLength: 5000 }, bodyLimit: 4 * 1024 * 1024 });
server.register(fastifyTRPCPlugin, {
  prefix: '/trpc',
  trpcOptions: {
    router: buildRouter(new Store(passages), values.transformer),
    createContext: ({ req }) => ({ authorized: sameKey(req.headers.authorization ?? '', values.key) }),
    allowBatching: !values['no-batching'],
  },
});

await server.listen({ host: values.host, port: Number(values.port) });
console.log(JSON.stringify({ port: server.server.address().port }));

const stop = () => process.exit(0);
process.stdin.on('end', stop).on('error', stop).resume();
process.on('SIGTERM', stop).on('SIGINT', stop);
