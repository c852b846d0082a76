// Holds tenants, cost events, passages and the records of meetings in memory.

const NANO = 1e9;
const words = (text) => new Set(text.toLowerCase().split(/\W+/).filter(Boolean));

const SEED = {
  tenants: [
    { id: 'acme', name: 'Acme', plan: 'pro', status: 'active', monthlyBudgetUsd: null, requestsPerMinute: null },
    { id: 'globex', name: 'Globex', plan: 'free', status: 'active', monthlyBudgetUsd: null, requestsPerMinute: null },
    { id: 'initech', name: 'Initech', plan: 'free', status: 'suspended', monthlyBudgetUsd: null, requestsPerMinute: null },
    { id: 'umbrella', name: 'Umbrella', plan: 'free', status: 'active', monthlyBudgetUsd: 0.000001, requestsPerMinute: 30 },
    {
      id: 'hooli', name: 'Hooli', plan: 'pro', status: 'active', monthlyBudgetUsd: null, requestsPerMinute: null,
      agent: { record: 'report', retentionDays: 30 },
    },
  ],
  passages: [
    { id: 'acme-1', tenantId: 'acme', source: 'handbook/holidays.md', text: 'Acme closes on the last Friday of June.' },
    { id: 'acme-2', tenantId: 'acme', source: 'handbook/travel.md', text: 'Travel above 500 dollars needs an approval.' },
    { id: 'globex-1', tenantId: 'globex', source: 'wiki/release.md', text: 'Globex releases on every second Tuesday.' },
  ],
};

export class Store {
  #tenants;
  #passages;
  /** Cost events by flush id, so that a repeated flush is stored once. */
  #costEvents = new Map();
  /** Parts of records by their ids. */
  #parts = new Map();
  /** When records were deleted: by tenant, and by tenant and meeting. */
  #deletedAt = new Map();
  #refused = new Map();

  constructor(passages = [], seed = SEED) {
    const createdAt = new Date('2026-01-01T00:00:00Z');
    this.#tenants = new Map(seed.tenants.map((tenant) => [tenant.id, { createdAt, ...tenant }]));
    this.#passages = [...seed.passages, ...passages];
  }

  tenant(id) {
    return this.#tenants.get(id);
  }

  /**
   * Store an event unless its flush id is present; return which of the two happened. In a database the flush id is a
   * unique column: INSERT ... ON CONFLICT (flush_id) DO NOTHING, and `inserted` is the number of rows it changed.
   */
  track(event) {
    const { flushId } = event.metadata;
    if (this.#costEvents.has(flushId)) return { inserted: 0, duplicates: 1 };
    this.#costEvents.set(flushId, event);
    return { inserted: 1, duplicates: 0 };
  }

  /** Return each tenant's total, summed as integer nano-dollars. */
  totals() {
    const totals = {};
    for (const { tenantId, costUsd } of this.#costEvents.values()) {
      const total = (totals[tenantId] ??= { nanoUsd: 0n, rows: 0 });
      total.nanoUsd += BigInt(Math.round(costUsd * NANO));
      total.rows += 1;
    }
    return Object.fromEntries(Object.entries(totals).map(([id, t]) => [id, { nanoUsd: String(t.nanoUsd), rows: t.rows }]));
  }

  events(tenantId) {
    return [...this.#costEvents.values()].filter((event) => event.tenantId === tenantId);
  }

  /**
   * Store a part of a record unless it is present, or its meeting began before its records were deleted. rayroom sends a
   * part until it is answered, so without this memory a part that was waiting would bring a deleted record back.
   */
  report(part) {
    const startedAt = Date.parse(part.record.startedAt);
    const deleted = [part.tenantId, `${part.tenantId}/${part.meetingId}`].some((key) => this.#deletedAt.get(key) >= startedAt);
    if (deleted) return { inserted: 0, duplicates: 0, deleted: true };
    if (this.#parts.has(part.partId)) return { inserted: 0, duplicates: 1 };
    this.#parts.set(part.partId, part);
    return { inserted: 1, duplicates: 0 };
  }

  /** Delete the records of a tenant, or of one of its meetings; return how many. */
  deleteRecords(tenantId, meetingId) {
    this.#deletedAt.set(meetingId === undefined ? tenantId : `${tenantId}/${meetingId}`, Date.now());
    const deleted = [...this.#parts.values()].filter(
      (part) => part.tenantId === tenantId && (meetingId === undefined || part.meetingId === meetingId),
    );
    for (const part of deleted) this.#parts.delete(part.partId);
    return { deleted: new Set(deleted.map((part) => part.record.recordId)).size };
  }

  /** Return a meeting's record, joined from its parts in the order of agents and entries; null without any. */
  record(tenantId, meetingId) {
    const parts = [...this.#parts.values()]
      .filter((part) => part.tenantId === tenantId && part.meetingId === meetingId)
      .sort((a, b) => Date.parse(a.record.joinedAt) - Date.parse(b.record.joinedAt) || a.record.firstEntry - b.record.firstEntry);
    if (!parts.length) return null;
    const costs = parts.map((part) => part.record.costs).filter(Boolean).sort((a, b) => Date.parse(a.asOf) - Date.parse(b.asOf));
    return {
      parts: parts.length,
      json: { ...parts[0].record, entries: parts.flatMap((part) => part.record.entries), costs: costs.at(-1) ?? null },
      markdown: parts.map((part) => part.markdown).join(''),
    };
  }

  /** Keep the fields of a tenant's agent that rayroom left out; an id that is present changes nothing. */
  reportRefused(report) {
    const inserted = this.#refused.has(report.reportId) ? 0 : 1;
    this.#refused.set(report.reportId, report);
    return { inserted };
  }

  refused() {
    return [...this.#refused.values()];
  }

  /** Return the tenant's own passages that share words with the query, best first. */
  search(tenantId, query, topK) {
    const wanted = words(query);
    return this.#passages
      .filter((passage) => passage.tenantId === tenantId)
      .map((passage) => ({ ...passage, score: [...words(passage.text)].filter((w) => wanted.has(w)).length / (wanted.size || 1) }))
      .filter((passage) => passage.score > 0)
      .sort((a, b) => b.score - a.score)
      .slice(0, topK);
  }
}
