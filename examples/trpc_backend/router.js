// The procedures that rayroom calls, and some for its tests and demo: analytics.totals, analytics.events,
// sessions.record and tenants.refused.

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

// A part of a meeting's record. Its schema is in docs/records.md; a copy of this file need not check more of it than it uses.
const part = z.object({
  tenantId: z.string().min(1),
  meetingId: z.string().min(1),
  partId: z.string().min(1),
  markdown: z.string(),
  record: z.looseObject({
    schemaVersion: z.literal(1),
    recordId: z.string(),
    startedAt: z.iso.datetime(),
    joinedAt: z.iso.datetime(),
    firstEntry: z.int().min(1),
    last: z.boolean(),
    retentionDays: z.int().min(1).nullable(),
    entries: z.array(z.looseObject({ kind: z.string(), at: z.iso.datetime() })),
  }),
});

const refused = z.object({
  reportId: z.string(),
  tenantId: z.string(),
  source: z.enum(['record', 'metadata']),
  fields: z.array(z.object({ field: z.string(), problem: z.string() })),
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
      reportRefused: authed.input(refused).mutation(({ input }) => store.reportRefused(input)),
      refused: authed.query(() => store.refused()),
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
    sessions: t.router({
      report: authed.use(around.report ?? passOn).input(part).mutation(({ input }) => {
        known(input.tenantId);
        return store.report(input);
      }),
      delete: authed
        .input(z.object({ tenantId: z.string().min(1), meetingId: z.string().min(1).optional() }))
        .mutation(({ input }) => store.deleteRecords(input.tenantId, input.meetingId)),
      record: authed
        .input(z.object({ tenantId: z.string(), meetingId: z.string() }))
        .query(({ input }) => store.record(input.tenantId, input.meetingId)),
    }),
    knowledge: t.router({
      search: authed.use(around.search ?? passOn).input(search).query(({ input }) => {
        known(input.tenantId);
        return store.search(input.tenantId, input.query, input.topK);
      }),
    }),
  });
}
