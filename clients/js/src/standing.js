// What a connection gives and takes away with it: rooms and subscriptions.

/**
 * `stage`: how the current connection stands to it. `came`: since it was asked for, messages with a
 * position have come.
 * @typedef {{stage: "out" | "asked" | "in", came?: boolean}} Stage
 */

/**
 * All of a kind, by key.
 * @template {Stage} T
 * @extends {Map<string, T>}
 */
export class Standing extends Map {
  /** There is another connection, or none. */
  offline() {
    for (const one of this.values()) one.stage = "out";
  }

  /** The keys of all that are to be asked for. */
  unasked() {
    return [...this.keys()].filter((key) => this.get(key)?.stage === "out");
  }

  /** @param {string} key */
  asking(key) {
    const one = this.get(key);
    if (one) Object.assign(one, { stage: "asked", came: false });
  }

  /** The one of this key, if it was asked for and has no answer. @param {string} key */
  asked(key) {
    const one = this.get(key);
    return one?.stage === "asked" ? one : undefined;
  }

  /** It could not be had: it is to be asked for again, or forgotten; says whether it waited for that. @param {string} key @param {boolean} again */
  refused(key, again) {
    const one = this.asked(key);
    if (one) one.stage = "out";
    if (one && !again) this.delete(key);
    return !!one;
  }
}
