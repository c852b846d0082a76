// Plans the faults of a backend: by count for single tests, by rate for everything else.

/** Numbers of a seed, so that a run can be repeated (mulberry32). */
const randomNumbers = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

const NONE = {
  // Counts: so many of the next calls.
  failBefore: 0,
  failAfter: 0,
  loseReply: 0,
  failReport: 0,
  refuseReport: 0,
  loseReportReply: 0,
  rateLimit: 0,
  noProcedure: 0,
  // Rates between 0 and 1.
  failBeforeRate: 0,
  failAfterRate: 0,
  loseReplyRate: 0,
  repeatRate: 0,
  // Settings that hold until they are changed.
  retryAfterS: 1,
  delayMs: 0,
  delayRowMs: 0,
  conflicts: false,
  silent: false,
  forbiddenTenants: [],
  failingTenants: [],
  refusedModels: [],
  maxBodySize: 0,
  maxBatchSize: 0,
  batching: true,
};

export class Faults {
  #random;

  constructor(options = {}) {
    this.set(options);
    this.#random = randomNumbers(1);
  }

  /** Plan these faults in place of all former ones. */
  set(faults) {
    const unknown = Object.keys(faults).filter((name) => !(name in NONE));
    if (unknown.length) throw new Error(`no such fault: ${unknown}`);
    Object.assign(this, NONE, faults);
  }

  /** Consume one fault of a count, or draw one of a rate; return whether it happens. */
  take(name) {
    if (this[name] > 0) {
      this[name] -= 1;
      return true;
    }
    const rate = this[`${name}Rate`] ?? 0;
    return rate > 0 && this.#random() < rate;
  }
}
