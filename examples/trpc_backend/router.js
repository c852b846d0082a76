// The procedures that rayroom calls, and two for its tests and demo: analytics.totals and analytics.events.

import { initTRPC, TRPCError } from '@trpc/server';
import superjson from 'superjson';
import { z } from 'zod';

const cost = z.object({
  tenantId: z.string().min(1),
  service: z.enum(['vision', 'llm', 'embeddings', 'stt', 'tts']),
  // Negative in a correction: the window takes back a part of an earlier one.
  costUsd: z.number(),
  timestamp: z.iso.datetime(),
  metadata: z.looseObject({ flushId: z.uuid(), seq: z.int().min(1), cumulativeUsd: z.number() }),
});

const search = z.object({
  tenantId: z.string().min(1),
  query: z.string().max(10_000),
  embedding: z.array(z.number()).max(4_096),
  topK: z.int().min(1).max(50),
});

// `around` holds a middleware for each procedure that a test makes fail; a copy of this file does without it.
const passOn = ({ next }) => next();

export function buildRouter(store, transformer, around = {}) {
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
      getById: authed.use(around.getById ?? passOn).input(z.object({ id: z.string().min(1) })).query(({ input }) => known(input.id)),
    }),
    analytics: t.router({
      trackCost: authed.use(around.trackCost ?? passOn).input(cost).mutation(({ input }) => {
        known(input.tenantId);
        return store.track(input);
      }),
      totals: authed.query(() => store.totals()),
      events: authed.input(z.object({ tenantId: z.string() })).query(({ input }) => store.events(input.tenantId)),
    }),
    knowledge: t.router({
      search: authed.use(around.search ?? passOn).input(search).query(({ input }) => {
        known(input.tenantId);
        return store.search(input.tenantId, input.query, input.topK);
      }),
    }),
  });
}
