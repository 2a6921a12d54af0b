// Waiting for conditions, with a deadline.

export const PATIENCE_MS = 20_000;
/** For what starts: a machine that is busy, or has just been installed, may read all of it from a slow disk. */
export const START_MS = 60_000;

/**
 * Waits until `condition` gives something true, and returns that.
 * @template T
 * @param {string} what it is, for the failure
 * @param {() => T | Promise<T>} condition
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition, patienceMs = PATIENCE_MS) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`waited ${patienceMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * The promise's value, or an error when it takes too long.
 * @template T @param {string} what @param {Promise<T>} promise @returns {Promise<T>}
 */
export function within(what, promise, patienceMs = PATIENCE_MS) {
  /** @type {NodeJS.Timeout} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${patienceMs} ms in vain: ${what}`)), patienceMs);
  });
  return /** @type {Promise<T>} */ (Promise.race([promise, late]).finally(() => clearTimeout(timer)));
}
