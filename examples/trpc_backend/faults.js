// Injects faults, so that a client's retries can be tested against a real server.

import { timingSafeEqual } from 'node:crypto';

export class Faults {
  /** Calls of trackCost that fail before the event is stored, and calls that lose their reply after it is. */
  failBefore = 0;
  loseReply = 0;
  /** Calls of knowledge.search that fail. */
  failSearch = 0;
  /** Calls that return 429, with `retryAfterS` seconds in Retry-After. */
  rateLimit = 0;
  retryAfterS = 1;
  delayMs = 0;

  set(changes) {
    Object.assign(this, changes);
  }

  /** Consume one fault; return whether one was left. */
  take(name) {
    if (this[name] <= 0) return false;
    this[name] -= 1;
    return true;
  }
}

// Constant time: the comparison must not reveal how much of a key is right.
export const sameKey = (given, key) => {
  const [a, b] = [Buffer.from(given), Buffer.from(`Bearer ${key}`)];
  return a.length === b.length && timingSafeEqual(a, b);
};
