// Runs the named checks of a client and prints their outcomes as one line of JSON.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

export { assert };

const CHECK_TIMEOUT_MS = 60_000;

export async function run(packageName, checks) {
  const outcomes = {};
  for (const [name, check] of Object.entries(checks)) outcomes[name] = await outcome(check);
  console.log(JSON.stringify({ version: await versionOf(packageName), outcomes }));
  process.exit(0);
}

async function outcome(check) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('not done in time')), CHECK_TIMEOUT_MS);
  });
  try {
    await Promise.race([check(), late]);
    return 'ok';
  } catch (error) {
    return `${error.name}: ${error.message}`.slice(0, 300);
  } finally {
    clearTimeout(timer);
  }
}

async function versionOf(packageName) {
  const lock = createRequire(import.meta.url)('./package-lock.json');
  return lock.packages[`node_modules/${packageName}`].version;
}
