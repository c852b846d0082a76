// The procedures that rayroom calls, and three for its tests and demo: analytics.totals, analytics.events, faults.set.

import { initTRPC, TRPCError } from '@trpc/server';
import superjson from 'superjson';
import { z } from 'zod';

const cost = z.object({
  tenantId: z.string().min(1),
  service: z.enum(['vision', 'llm', 'embeddings', 'stt', 'tts']),
  costUsd: z.number().min(0),
  timestamp: z.iso.datetime(),
  metadata: z.looseObject({ flushId: z.uuid(), seq: z.int().min(1), cumulativeUsd: z.number().min(0) }),
});

const search = z.object({
  tenantId: z.string().min(1),
  query: z.string().max(10_000),
  embedding: z.array(z.number()).max(4_096),
  topK: z.int().min(1).max(50),
});

const faultChanges = z.object({
  failBefore: z.int().min(0),
  loseReply: z.int().min(0),
  failSearch: z.int().min(0),
  rateLimit: z.int().min(0),
  retryAfterS: z.number().min(0),
  delayMs: z.int().min(0),
});

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function buildRouter(store, faults, transformer) {
  const t = initTRPC.context().create({ isDev: false, ...(transformer === 'superjson' ? { transformer: superjson } : {}) });
  const authed = t.procedure.use(({ ctx, next }) => {
    if (!ctx.authorized) throw new TRPCError({ code: 'UNAUTHORIZED', message: 'bad or missing token' });
    return next();
  });
  const known = (id) => {
    const tenant = store.tenant(id);
    if (!tenant) throw new TRPCError({ code: 'NOT_FOUND', message: 'tenant not found' });
    return tenant;
  };

  return t.router({
    tenants: t.router({
      getById: authed.input(z.object({ id: z.string().min(1) })).query(async ({ input }) => {
        await pause(faults.delayMs);
        return known(input.id);
      }),
    }),
    analytics: t.router({
      trackCost: authed.input(cost).mutation(async ({ input, ctx }) => {
        await pause(faults.delayMs);
        if (faults.take('rateLimit')) {
          ctx.reply.header('retry-after', String(faults.retryAfterS));
          throw new TRPCError({ code: 'TOO_MANY_REQUESTS', message: 'slow down' });
        }
        if (faults.take('failBefore')) throw new TRPCError({ code: 'INTERNAL_SERVER_ERROR', message: 'failed before' });
        known(input.tenantId);
        const kept = store.track(input);
        if (faults.take('loseReply')) ctx.reply.raw.destroy();
        return kept;
      }),
      totals: authed.query(() => store.totals()),
      events: authed.input(z.object({ tenantId: z.string() })).query(({ input }) => store.events(input.tenantId)),
    }),
    knowledge: t.router({
      search: authed.input(search).query(({ input }) => {
        if (faults.take('failSearch')) throw new TRPCError({ code: 'INTERNAL_SERVER_ERROR', message: 'search failed' });
        known(input.tenantId);
        return store.search(input.tenantId, input.query, input.topK);
      }),
    }),
    faults: t.router({
      set: authed.input(faultChanges.partial()).mutation(({ input }) => {
        faults.set(input);
        return { ok: true };
      }),
    }),
  });
}
