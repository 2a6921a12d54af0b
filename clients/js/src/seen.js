// The names of messages that were seen, the newest so many of them.

/** A bounded set; the oldest name gives way. */
export class Seen {
  /** @type {Set<string>} */
  #names = new Set();
  #max;

  /** @param {number} max */
  constructor(max) {
    this.#max = max;
  }

  /**
   * Takes a name in; `false` if it was there.
   * @param {...string} parts
   */
  insert(...parts) {
    const name = JSON.stringify(parts);
    if (this.#names.has(name)) return false;
    this.#names.add(name);
    if (this.#names.size > this.#max) {
      for (const oldest of this.#names) {
        this.#names.delete(oldest);
        break;
      }
    }
    return true;
  }
}
