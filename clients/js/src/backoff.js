// How long to wait before trying again: exponential, with full jitter ("Exponential Backoff and
// Jitter", AWS Architecture Blog, 2015).

/** Waits between `min` and a longest wait, which doubles from `first` to `max`. In milliseconds. */
export class Backoff {
  #ceiling;

  /** @param {number} min @param {number} first @param {number} max */
  constructor(min, first, max) {
    this.min = min;
    this.first = Math.max(min, first);
    this.max = Math.max(this.first, max);
    this.#ceiling = this.first;
  }

  /**
   * How long to wait now.
   * @param {number} random uniform from 0 to 1
   */
  next(random) {
    const ceiling = this.#ceiling;
    this.#ceiling = Math.min(ceiling * 2, this.max);
    return this.min + (ceiling - this.min) * random;
  }

  /** It worked: start over. */
  reset() {
    this.#ceiling = this.first;
  }
}
