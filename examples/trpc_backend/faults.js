// What the backend can be told to get wrong, so that a client's retries can be tested against the real server.

import { timingSafeEqual } from 'node:crypto';

export class Faults {
  /** Calls of trackCost that fail before anything is kept, and after it was kept but before the reply. */
  failBefore = 0;
  loseReply = 0;
  /** Calls of knowledge.search that fail. */
  failSearch = 0;
  /** Calls answered with 429 and this many seconds in Retry-After. */
  rateLimit = 0;
  retryAfterS = 1;
  delayMs = 0;

  set(changes) {
    Object.assign(this, changes);
  }

  take(name) {
    if (this[name] <= 0) return false;
    this[name] -= 1;
    return true;
  }
}

export const sameKey = (given, key) => {
  const [a, b] = [Buffer.from(given), Buffer.from(`Bearer ${key}`)];
  return a.length === b.length && timingSafeEqual(a, b);
};
