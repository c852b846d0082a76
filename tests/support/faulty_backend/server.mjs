// The example backend behind tRPC's standalone server, with faults. Prints {"port": N} once it listens.
//
//   node server.mjs --key KEY [--port 0] [--transformer plain|superjson] [--no-batching] [--passages FILE] [--faults JSON]
//       [--tenants N]
//
// POST /faults with the key changes the faults, POST /tenants adds a tenant. The server ends when its stdin closes.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { sameKey } from '../../../examples/trpc_backend/key.js';
import { buildRouter } from '../../../examples/trpc_backend/router.js';
import { Store } from '../../../examples/trpc_backend/store.js';
import { Faults } from './faults.mjs';

// The packages are those of the example.
const require = createRequire(new URL('../../../examples/trpc_backend/server.js', import.meta.url));
const { TRPCError } = require('@trpc/server');
const { createHTTPHandler } = require('@trpc/server/adapters/standalone');

const { values } = parseArgs({
  options: {
    key: { type: 'string' },
    port: { type: 'string', default: '0' },
    transformer: { type: 'string', default: 'superjson' },
    'no-batching': { type: 'boolean', default: false },
    passages: { type: 'string' },
    faults: { type: 'string', default: '{}' },
    tenants: { type: 'string', default: '0' },
  },
});

const faults = new Faults(JSON.parse(values.faults));
const passages = values.passages ? JSON.parse(readFileSync(values.passages, 'utf8')) : [];
// With --tenants they are tenant-00, tenant-01 and so on, in place of the example's.
const tenants = Array.from({ length: Number(values.tenants) }, (_, number) => {
  const id = `tenant-${String(number).padStart(2, '0')}`;
  return { id, name: id, plan: 'pro', status: 'active', monthlyBudgetUsd: null, requestsPerMinute: null };
});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const fail = (code, message) => {
  throw new TRPCError({ code, message });
};

const trackCost = async ({ ctx, next, getRawInput, path, batchIndex }) => {
  // The rows of a batch run side by side in tRPC; `delayRowMs` delays them one after the other.
  await pause(faults.delayMs + faults.delayRowMs * (batchIndex + 1));
  if (faults.take('rateLimit')) {
    ctx.res.setHeader('retry-after', String(faults.retryAfterS));
    fail('TOO_MANY_REQUESTS', 'slow down');
  }
  if (faults.take('noProcedure')) fail('NOT_FOUND', `No procedure found on path "${path}"`);
  if (faults.take('failBefore')) fail('INTERNAL_SERVER_ERROR', 'failed before');
  const { tenantId, metadata } = (await getRawInput()) ?? {};
  if (faults.forbiddenTenants.includes(tenantId)) fail('FORBIDDEN', 'not this tenant');
  if (faults.failingTenants.includes(tenantId)) fail('INTERNAL_SERVER_ERROR', 'the table of this tenant is locked');
  if (faults.refusedModels.includes(metadata?.model)) fail('BAD_REQUEST', '[{"code": "invalid_value"}]');
  const result = await next();
  if (faults.take('repeat')) await next();
  if (faults.take('loseReply')) ctx.res.destroy();
  if (faults.take('failAfter')) fail('INTERNAL_SERVER_ERROR', 'failed after');
  if (result.ok && faults.conflicts && result.data.duplicates) fail('CONFLICT', 'Unique constraint failed: flushId');
  return result.ok && faults.silent ? { ...result, data: undefined } : result;
};
const report = async ({ ctx, next }) => {
  if (faults.take('failReport')) fail('SERVICE_UNAVAILABLE', 'the store is restarted');
  if (faults.take('refuseReport')) fail('BAD_REQUEST', 'no such column');
  const result = await next();
  if (faults.take('loseReportReply')) ctx.res.destroy();
  return result;
};
const getById = async ({ next }) => {
  await pause(faults.delayMs);
  return next();
};
class GrowingStore extends Store {
  added = new Map();

  tenant(id) {
    return this.added.get(id) ?? super.tenant(id);
  }
}
const store = new GrowingStore(passages, tenants.length ? { tenants, passages: [] } : undefined);
const router = buildRouter(store, values.transformer, { trackCost, report, getById });
const authorized = (req) => sameKey(req.headers.authorization ?? '', values.key);

const change = async (req, res, apply) => {
  let body = '';
  for await (const chunk of req) body += chunk;
  try {
    if (!authorized(req)) throw new Error('bad or missing key');
    apply(JSON.parse(body));
    res.end('{}');
  } catch (error) {
    res.writeHead(400).end(error.message);
  }
};

const server = http.createServer((req, res) => {
  if (req.url === '/faults') return change(req, res, (planned) => faults.set(planned));
  if (req.url === '/tenants') return change(req, res, (tenant) => store.added.set(tenant.id, tenant));
  return createHTTPHandler({
    router,
    basePath: '/trpc/',
    createContext: () => ({ res, authorized: authorized(req) }),
    allowBatching: faults.batching && !values['no-batching'],
    maxBatchSize: faults.maxBatchSize || undefined,
    maxBodySize: faults.maxBodySize || undefined,
  })(req, res);
});
server.listen(Number(values.port), '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })));

const stop = () => process.exit(0);
process.stdin.on('end', stop).on('error', stop).resume();
process.on('SIGTERM', stop).on('SIGINT', stop);
