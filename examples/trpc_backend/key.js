// Compares the key of a request with the server's.

import { timingSafeEqual } from 'node:crypto';

// Constant time: the comparison must not reveal how much of a key is right.
export const sameKey = (given, key) => {
  const [a, b] = [Buffer.from(given), Buffer.from(`Bearer ${key}`)];
  return a.length === b.length && timingSafeEqual(a, b);
};
