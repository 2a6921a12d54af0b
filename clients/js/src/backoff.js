// How long to wait before trying again: exponential, with full jitter ("Exponential Backoff and
// Jitter", AWS Architecture Blog, 2015).

/**
 * Waits between `min` and a longest wait, which doubles from `first` to `max`. In milliseconds.
 * @param {number} min @param {number} first @param {number} max
 */
export function createBackoff(min, first, max) {
  first = Math.max(min, first);
  let longest = first;
  return {
    /** How long to wait now. @param {number} random uniform from 0 to 1 */
    next(random) {
      const wait = min + (longest - min) * random;
      longest = Math.min(longest * 2, Math.max(first, max));
      return wait;
    },

    /** It worked: start over. */
    reset: () => void (longest = first),
  };
}
